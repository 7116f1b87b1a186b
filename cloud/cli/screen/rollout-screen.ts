/**
 * The screen of `flotilla rollout watch`: all of a rollout that a person wants to see at one time, in whatever room there
 * is. What matters least goes first where there is little: events, then waves that are far from the present one.
 */
import type { HistoryBody, RolloutBody, RolloutGates, RolloutWaits } from '#cloud/http/schemas/rollouts.js';
import { gateNumber } from '#cloud/rollout/gates/gate-words.js';
import { formatSpan, paceOf } from './pace.js';
import { clip, type Line, paint, piece, type Piece, spread, type Style } from './styled-lines.js';
import type { Size } from './terminal-screen.js';

export interface WatchedRollout {
  readonly rollout: RolloutBody;
  readonly waits: RolloutWaits['counts'];
  readonly gates: RolloutGates['items'];
  /** Newest first. */
  readonly history: readonly HistoryBody[];
  /** Epoch milliseconds. */
  readonly now: number;
  /** Why what is shown may be old. */
  readonly trouble?: string | undefined;
}

type Wave = RolloutBody['waves'][number];
type Standing = keyof Wave['standings'];

/** In the order of a bar; what stands in none of them is still to come. */
const parts: readonly { readonly of: readonly Standing[]; readonly mark: string; readonly style: Style }[] = [
  { of: ['succeeded', 'returned'], mark: '█', style: 'green' },
  { of: ['changing', 'returning'], mark: '▒', style: 'yellow' },
  { of: ['failed', 'return-failed'], mark: '×', style: 'red' },
  { of: ['unreachable', 'overtaken', 'gone', 'left', 'cancelled'], mark: '-', style: 'dim' },
];
const toCome = '·';

const styleOfKind: Readonly<Record<string, Style>> = {
  succeeded: 'green',
  returned: 'green',
  changing: 'yellow',
  returning: 'yellow',
  paused: 'yellow',
  failed: 'red',
  'return-failed': 'red',
  ending: 'red',
  aborted: 'red',
};

/** @returns at most `rows` lines of at most `columns` characters, without a line break at the end */
export function renderRollout(watched: WatchedRollout, { columns, rows }: Size, colored: boolean): string {
  const head = headLines(watched, columns);
  const foot: Line[] = [[piece(watched.trouble ?? 'Ctrl-C leaves it running', watched.trouble ? 'red' : 'dim')]];
  const notes = [...noteLines(watched), ...gateLines(watched)];
  // One empty line before each block.
  const room = Math.max(0, rows - head.length - foot.length);
  const waves = waveLines(watched.rollout, columns, Math.max(0, room - 1 - blockRows(notes)));
  const eventRoom = room - blockRows(waves) - blockRows(notes) - 1;
  const events = eventLines(watched.history, Math.max(0, eventRoom));
  const blocks = [waves, notes, events].filter((block) => block.length > 0).flatMap((block) => [[], ...block]);
  const lines = [...head, ...blocks.slice(0, room), ...foot];
  return lines
    .slice(0, rows)
    .map((line) => paint(clip(line, columns), colored))
    .join('\n');
}

function blockRows(block: readonly Line[]): number {
  return block.length === 0 ? 0 : block.length + 1;
}

function headLines({ rollout, history, now }: WatchedRollout, columns: number): Line[] {
  const { number, release, fleet, state, endsAs, createdAt, endedAt } = rollout;
  const pace = paceOf(rollout, history, now);
  const stateText = endsAs === undefined ? state : `${state} (${endsAs})`;
  const since = formatSpan((endedAt === undefined ? now : Date.parse(endedAt)) - Date.parse(createdAt));
  const percent = pace.devices === 0 ? 100 : Math.floor((pace.done / pace.devices) * 100);
  const rate = pace.perMinute === undefined ? [] : [`${formatRate(pace.perMinute)}/min`];
  const eta = pace.leftMs === undefined ? [] : [`ETA ${formatSpan(pace.leftMs)}`];
  const counts = [`${String(pace.done)}/${String(pace.devices)} devices`, `${String(percent)}%`, ...rate, ...eta];
  const text = counts.join('  ');
  const total: Wave = { wave: 0, standings: sumOf(rollout.waves) };
  const barWidth = Math.max(0, columns - text.length - 2);
  return [
    spread(
      [piece(`rollout ${String(number)}`, 'bold'), piece(`  ${release} over ${fleet}`)],
      [piece(stateText, stateStyle(state)), piece(`  ${since}`)],
      columns,
    ),
    barWidth < 8 ? [piece(text)] : [...bar(total.standings, barWidth), piece(`  ${text}`)],
  ];
}

function stateStyle(state: RolloutBody['state']): Style {
  if (state === 'running') return 'cyan';
  return state === 'succeeded' ? 'green' : state === 'paused' ? 'yellow' : 'red';
}

function formatRate(perMinute: number): string {
  return perMinute < 10 ? perMinute.toFixed(1) : String(Math.round(perMinute));
}

/** Waves around the present one, as many as fit with what is left out said. */
function waveLines({ waves, wave: present }: RolloutBody, columns: number, room: number): Line[] {
  const shown = waves.filter(({ standings }) => Object.keys(standings).length > 0);
  if (shown.length <= room) return shown.map((one) => waveLine(one, present, columns));
  if (room < 1) return [];
  const at = Math.max(
    0,
    shown.findLastIndex(({ wave }) => wave <= present),
  );
  const count = Math.max(1, room - 1);
  const from = Math.max(0, Math.min(at - Math.floor(count / 2), shown.length - count));
  const kept = shown.slice(from, from + count).map((one) => waveLine(one, present, columns));
  const left = shown.length - kept.length;
  return room === 1 ? kept : [...kept, [piece(`  and ${String(left)} more waves`, 'dim')]];
}

function waveLine({ wave, standings }: Wave, present: number, columns: number): Line {
  const devices = Object.values(standings).reduce((sum, count) => sum + count, 0);
  const done = devices - (standings.queued ?? 0) - (standings.changing ?? 0) - (standings.returning ?? 0);
  const isPresent = wave === present;
  const name = `${isPresent ? '>' : ' '} wave ${String(wave).padEnd(2)} `;
  const barWidth = Math.max(0, Math.min(30, columns - 50));
  return [
    piece(name, isPresent ? 'bold' : undefined),
    ...(barWidth < 5 ? [] : [...bar(standings, barWidth), piece(' ')]),
    piece(` ${`${String(done)}/${String(devices)}`.padStart(9)}  `),
    ...standingPieces(standings),
  ];
}

function standingPieces(standings: Wave['standings']): Piece[] {
  return Object.entries(standings)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([standing, count], index) => [
      ...(index === 0 ? [] : [piece(', ')]),
      piece(`${String(count)} ${standing}`, styleOfKind[standing]),
    ]);
}

/** Shares of a width. What is there is seen: one device of ten thousand still gets a character. */
export function bar(standings: Wave['standings'], width: number): Piece[] {
  const total = Object.values(standings).reduce((sum, count) => sum + count, 0);
  let left = width;
  const pieces: Piece[] = [];
  for (const { of, mark, style } of parts) {
    const count = of.reduce((sum, standing) => sum + (standings[standing] ?? 0), 0);
    if (count === 0) continue;
    const cells = Math.min(left, Math.max(1, Math.floor((count / total) * width)));
    pieces.push(piece(mark.repeat(cells), style));
    left -= cells;
  }
  // Rounding leaves cells that are nobody's where all have ended: the first has them.
  const queued = standings.queued ?? 0;
  const first = pieces[0];
  if (queued === 0 && first !== undefined && left > 0) {
    return [{ ...first, text: first.text + (first.text[0] ?? '').repeat(left) }, ...pieces.slice(1)];
  }
  return [...pieces, piece(toCome.repeat(left), 'dim')];
}

function sumOf(waves: readonly Wave[]): Wave['standings'] {
  const sums: Wave['standings'] = {};
  for (const { standings } of waves) {
    for (const [standing, count] of Object.entries(standings) as [Standing, number][]) {
      sums[standing] = (sums[standing] ?? 0) + count;
    }
  }
  return sums;
}

/** Why it stands where it stands. */
function noteLines({ rollout, waits }: WatchedRollout): Line[] {
  const { reason, state, number } = rollout;
  const waiting = Object.entries(waits).sort(([, a], [, b]) => b - a);
  const isPaused = state === 'paused';
  return [
    ...(reason === undefined ? [] : [[piece('reason  '), piece(reason.text, isPaused ? 'yellow' : 'red')]]),
    ...(waiting.length === 0
      ? []
      : [[piece('waiting '), piece(waiting.map(([kind, count]) => `${String(count)} ${kind}`).join(', '))]]),
    ...(isPaused
      ? [
          [
            piece('next    '),
            piece(`flotilla rollout resume ${String(number)}, or flotilla rollout rollback ${String(number)}`),
          ],
        ]
      : []),
    ...(waits.approval === undefined
      ? []
      : [[piece('next    '), piece(`flotilla rollout approve ${String(number)}`, 'bold')]]),
  ];
}

const shownGates = 8;
const styleOfVerdict: Readonly<Record<RolloutGates['items'][number]['verdict'], Style>> = {
  pass: 'green',
  fail: 'red',
  undecided: 'yellow',
};

/** Of the wave whose turn it is, with their numbers. */
function gateLines({ rollout, gates }: WatchedRollout): Line[] {
  return gates
    .filter(({ wave }) => wave === rollout.wave)
    .slice(0, shownGates)
    .map(({ gate, measure, module, value, bound, reference, unit, samples, verdict, accepted, lack }) => {
      const what = `${gate}: ${measure}${module === '' ? '' : ` of ${module}`}`;
      const than = bound === null ? '' : `, at most ${gateNumber(bound, unit)}`;
      const beside = reference === null ? '' : ` (beside ${gateNumber(reference, unit)})`;
      const numbers = `${gateNumber(value, unit)}${than}${beside}, ${String(samples)} samples`;
      return [
        piece('gate    '),
        piece(accepted ? `${verdict} (accepted)` : verdict, styleOfVerdict[verdict]),
        piece(`  ${what} ${numbers}${lack === undefined ? '' : `; lacks ${lack.text}`}`),
      ];
    });
}

/** The last ones, oldest first, as a log reads. */
function eventLines(history: readonly HistoryBody[], room: number): Line[] {
  return history
    .slice(0, room)
    .toReversed()
    .map(({ at, kind, device, text }) => [
      piece(`${at.slice(11, 19)}  `, 'dim'),
      piece(kind.padEnd(13), styleOfKind[kind]),
      piece([device, text].filter((part) => part !== undefined && part !== '').join('  ')),
    ]);
}
