import { describe, expect, it } from 'vitest';
import { formatSpan, paceOf } from '#cloud/cli/screen/pace.js';
import { bar, renderRollout, type WatchedRollout } from '#cloud/cli/screen/rollout-screen.js';
import { clip, widthOf } from '#cloud/cli/screen/styled-lines.js';
import { type Terminal, TerminalScreen } from '#cloud/cli/screen/terminal-screen.js';
import type { HistoryBody, RolloutBody, RolloutGates } from '#cloud/http/schemas/rollouts.js';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';

type Gate = RolloutGates['items'][number];

const startedAt = '2026-05-01T10:00:00.000Z';
const now = Date.parse('2026-05-01T10:12:03.000Z');
const at = (clock: string): string => `2026-05-01T${clock}.000Z`;

const rollout = (given: Partial<RolloutBody> = {}): RolloutBody => ({
  ...{ number: 7, release: 'vision:2', fleet: 'line-3', state: 'running', wave: 2 },
  policy: rolloutPolicySchema.parse({}),
  ...{ createdAt: startedAt, createdBy: 'ops', updatedAt: startedAt },
  waves: [
    { wave: 1, standings: { succeeded: 1 } },
    { wave: 2, standings: { succeeded: 38, failed: 2, changing: 10, queued: 40 } },
    { wave: 3, standings: { queued: 9 } },
  ],
  ...given,
});
const history: readonly HistoryBody[] = [
  { at: at('10:12:01'), kind: 'failed', device: 'cam-17', text: 'detector was rejected: golden outputs differ' },
  { at: at('10:11:40'), kind: 'succeeded', device: 'cam-4', text: '' },
  { at: at('10:11:03'), kind: 'changing', device: 'cam-17', text: 'asked for vision:2, generation 5' },
  { at: at('10:05:00'), kind: 'wave', text: 'wave 2 begins' },
];
const watched = (given: Partial<WatchedRollout> = {}): WatchedRollout => ({
  ...{ rollout: rollout(), waits: { budget: 40, wave: 9 }, gates: [], history, now },
  ...given,
});
const screen = (given: Partial<WatchedRollout> = {}, columns = 90, rows = 16): string =>
  `\n${renderRollout(watched(given), { columns, rows }, false)}\n`;

describe('the screen of a rollout', () => {
  it('shows waves with bars, counts, rate, time left, what is waited for, and the last events', () => {
    expect(screen()).toMatchInlineSnapshot(`
      "
      rollout 7  vision:2 over line-3                                               running  12m
      ██████████████████▒▒▒▒×·························  41/100 devices  41%  0.3/min  ETA 3h 27m

        wave 1  ██████████████████████████████        1/1  1 succeeded
      > wave 2  ████████████▒▒▒×··············      40/90  10 changing, 2 failed, 40 queued, 38…
        wave 3  ······························        0/9  9 queued

      waiting 40 budget, 9 wave

      10:05:00  wave         wave 2 begins
      10:11:03  changing     cam-17  asked for vision:2, generation 5
      10:11:40  succeeded    cam-4
      10:12:01  failed       cam-17  detector was rejected: golden outputs differ
      Ctrl-C leaves it running
      "
    `);
  });

  it('says in a narrow window what fits, cut and not wrapped', () => {
    const text = screen({}, 38, 12);
    expect(text).toMatchInlineSnapshot(`
      "
      rollout 7  vision:2 over line-3
      41/100 devices  41%  0.3/min  ETA 3h …

        wave 1         1/1  1 succeeded
      > wave 2       40/90  10 changing, 2 …
        wave 3         0/9  9 queued

      waiting 40 budget, 9 wave

      10:11:40  succeeded    cam-4
      10:12:01  failed       cam-17  detect…
      Ctrl-C leaves it running
      "
    `);
    expect(Math.max(...text.split('\n').map((line) => Array.from(line).length))).toBeLessThanOrEqual(38);
  });

  it('drops events first and then far waves where rows are few', () => {
    const waves = Array.from({ length: 12 }, (_, index) => ({
      wave: index + 1,
      standings: index < 6 ? { succeeded: 3 } : { queued: 3 },
    }));
    expect(screen({ rollout: rollout({ waves, wave: 7 }), waits: {} }, 70, 9)).toMatchInlineSnapshot(`
      "
      rollout 7  vision:2 over line-3                           running  12m
      ██████████████···············  18/36 devices  50%  0.3/min  ETA 1h 03m

        wave 5  ████████████████████        3/3  3 succeeded
        wave 6  ████████████████████        3/3  3 succeeded
      > wave 7  ····················        0/3  3 queued
        wave 8  ····················        0/3  3 queued
        and 8 more waves
      Ctrl-C leaves it running
      "
    `);
    for (let rows = 1; rows < 30; rows++) {
      expect(renderRollout(watched(), { columns: 80, rows }, false).split('\n').length).toBeLessThanOrEqual(rows);
    }
  });

  it('says why one is paused and what a person can do', () => {
    const reason = { code: 'failures', text: '2 of 10 failed, more than 5%' } as const;
    const text = screen({ rollout: rollout({ state: 'paused', reason }), waits: { paused: 49 } });
    expect(text).toContain('reason  2 of 10 failed, more than 5%');
    expect(text).toContain('next    flotilla rollout resume 7, or flotilla rollout rollback 7');
    expect(text).not.toContain('ETA');
  });

  it('shows the gates of the present wave with their numbers, and what an undecided one lacks', () => {
    const gate: Gate = {
      ...{ wave: 2, gate: 'p99', kind: 'latency', measure: 'p99 latency', module: 'detector', accepted: false },
      ...{ value: 41.2, reference: 12, bound: 18, samples: 3120, told: 38, devices: 38 },
      verdict: 'fail',
      unit: 'ms',
    };
    const lack = { what: 'samples', text: '160 more samples', needed: 200 };
    const numbers = { value: null, bound: 0.2, reference: null, samples: 40 };
    const drift: Gate = { ...gate, ...numbers, gate: 'drift', unit: 'psi', verdict: 'undecided', lack };
    const text = screen({ gates: [gate, drift, { ...gate, wave: 1 }] }, 120);
    expect(text.split('\n').filter((line) => line.startsWith('gate'))).toEqual([
      'gate    fail  p99: p99 latency of detector 41.2 ms, at most 18 ms (beside 12 ms), 3120 samples',
      'gate    undecided  drift: p99 latency of detector -, at most 0.200, 40 samples; lacks 160 more samples',
    ]);
  });

  it('keeps what it last knew while the control plane is away, and says so', () => {
    expect(screen({ trouble: 'not up to date: connection refused' })).toContain('not up to date: connection refused');
  });

  it('colours only where colours are welcome, and never lets text from a device do so', () => {
    const hostile: HistoryBody = { at: at('10:12:02'), kind: 'failed', device: 'cam-1', text: '\u001b[2Jgone' };
    const given = watched({ history: [hostile] });
    expect(renderRollout(given, { columns: 80, rows: 20 }, false)).not.toContain('\u001b');
    expect(renderRollout(given, { columns: 80, rows: 20 }, true)).toContain('\u001b[31mfailed');
    expect(renderRollout(given, { columns: 80, rows: 20 }, true)).not.toContain('\u001b[2J');
  });
});

describe('a bar', () => {
  it('shows one failure among ten thousand, and is full when all have ended', () => {
    const text = (pieces: ReturnType<typeof bar>): string => pieces.map((one) => one.text).join('');
    expect(text(bar({ succeeded: 9999, failed: 1 }, 10))).toBe('█████████×');
    expect(text(bar({ succeeded: 1, queued: 9999 }, 10))).toBe('█·········');
    expect(text(bar({ queued: 3 }, 4))).toBe('····');
    expect(text(bar({ succeeded: 1, changing: 1, failed: 1, gone: 1 }, 2))).toBe('█▒');
  });

  it('is cut with an ellipsis', () => {
    expect(widthOf(clip([{ text: 'abcdef' }, { text: 'ghi', style: 'red' }], 5))).toBe(5);
    expect(clip([{ text: 'abc' }], 0)).toEqual([]);
  });
});

describe('the pace', () => {
  it('counts devices that ended of late, over the time that the history covers', () => {
    expect(paceOf(rollout(), history, now)).toMatchObject({ devices: 100, done: 41 });
    // Two within the 7 minutes and 3 seconds since the oldest entry.
    expect(paceOf(rollout(), history, now).perMinute).toBeCloseTo(2 / 7.05);
    expect(paceOf(rollout(), history, now).leftMs).toBeCloseTo(59 * 7.05 * 30_000);
  });

  it('promises nothing while nothing moves', () => {
    expect(paceOf(rollout({ state: 'paused' }), history, now)).toEqual({ devices: 100, done: 41 });
    expect(paceOf(rollout(), [], now)).toEqual({ devices: 100, done: 41 });
    expect(paceOf(rollout(), history, now + 3_600_000)).toEqual({ devices: 100, done: 41 });
  });

  it('is told in as much as one wants to know', () => {
    expect([5_000, 200_000, 700_000, 3_900_000, 180_000_000].map(formatSpan)).toEqual([
      '5s',
      '3m 20s',
      '11m',
      '1h 05m',
      '2d 2h',
    ]);
  });
});

describe('a terminal as a screen', () => {
  it('paints what changed, follows the size of the window, and gives the terminal back', () => {
    let written = '';
    let resized = (): void => undefined;
    let columns = 80;
    const listening = new Set<string>();
    const on = (name: string): (() => void) => {
      listening.add(name);
      return () => listening.delete(name);
    };
    const terminal: Terminal = {
      colors: true,
      size: () => ({ columns, rows: 24 }),
      write: (text) => {
        written += text;
      },
      onResize: (listener) => {
        resized = listener;
        return on('resize');
      },
      onExit: () => on('exit'),
    };
    const painted = new TerminalScreen(terminal, (size) => `${String(size.columns)} wide`);
    painted.paint();
    painted.paint();
    expect(written.split('80 wide')).toHaveLength(2);
    columns = 40;
    resized();
    expect(written).toContain('40 wide');
    painted.close();
    painted.close();
    painted.paint();
    expect(written.endsWith('\u001b[?25h\u001b[?1049l')).toBe(true);
    expect(written.split('\u001b[?1049l')).toHaveLength(2);
    expect([...listening]).toEqual([]);
  });
});
