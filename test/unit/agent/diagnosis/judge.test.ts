import { describe, expect, it } from 'vitest';
import { judgeCertificate, judgeClock, judgeDisk, judgeMode } from '#agent/diagnosis/judge.js';
import { passed, runChecks } from '#agent/diagnosis/finding.js';
import { systemClock } from '#shared/kernel/clock.js';

const day = 86_400_000;
const now = Date.parse('2026-06-01T00:00:00Z');

describe('what a check finds', () => {
  it.each([
    ['a certificate of 80 days', judgeCertificate(now + 80 * day, now), 'ok'],
    ['one of 13 days, which should have been renewed', judgeCertificate(now + 13 * day, now), 'warning'],
    ['one that has ended', judgeCertificate(now, now), 'error'],
    ['room for twice the reserve', judgeDisk(200, 100), 'ok'],
    ['room for the reserve and little more', judgeDisk(150, 100), 'warning'],
    ['less room than the reserve', judgeDisk(99, 100), 'error'],
    ['a clock half a minute off', judgeClock(now, now - 30_000, true), 'ok'],
    ['a clock an hour ahead of the control plane', judgeClock(now, now - 3_600_000, true), 'warning'],
    ['a clock a year behind what was signed', judgeClock(now, now + 365 * day, false), 'warning'],
    ['a clock that is later than the last signed time, as it must be', judgeClock(now, now - 30 * day, false), 'ok'],
    ['a file for its owner alone', judgeMode('/x', 0o100600), 'ok'],
    ['a file that its group may read', judgeMode('/x', 0o100640), 'error'],
  ])('%s', (_what, { outcome, remedy }, expected) => {
    expect(outcome).toBe(expected);
    // Whatever is not well says what to do.
    expect(remedy === undefined).toBe(expected === 'ok');
  });

  it('is an error where a check throws or hangs, and the others are heard all the same', async () => {
    const aborted: string[] = [];
    const findings = await runChecks(
      [
        { name: 'throws', run: () => Promise.reject(new Error('no such thing')) },
        {
          name: 'hangs',
          run: (signal) =>
            new Promise((_, reject) => {
              signal.addEventListener('abort', () => {
                aborted.push('hangs');
                reject(new Error('late'));
              });
            }),
        },
        { name: 'works', run: async () => ({ outcome: 'ok', message: 'fine' }) },
      ],
      20,
      systemClock,
    );
    expect(findings.map(({ check, outcome }) => [check, outcome])).toEqual([
      ['throws', 'error'],
      ['hangs', 'error'],
      ['works', 'ok'],
    ]);
    expect(aborted).toEqual(['hangs']);
    expect(passed(findings)).toBe(false);
  });
});
