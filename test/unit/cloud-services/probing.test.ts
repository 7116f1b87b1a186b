import { describe, expect, it } from 'vitest';
import { probeSchema } from '#cloud/services/desired-services.js';
import { noAnswers, startAllowanceMs, tally, verdictOf } from '#cloud/services/host/probing.js';

const probe = probeSchema.parse({ initialDelaySeconds: 5, successThreshold: 2, failureThreshold: 3 });

/** Verdicts after each answer; a letter each: `+` passes, `-` fails, `.` neither, asked a second apart. */
function verdicts(answers: string, from = 10_000): string {
  let state = noAnswers;
  return [...answers]
    .map((answer, index) => {
      state = tally(state, answer === '+', probe, from + index * 1000);
      return { passes: '+', fails: '-', 'as before': '.' }[verdictOf(state, probe)];
    })
    .join('');
}

describe('answers to probes', () => {
  it.each([
    ['pass after as many in a row as the threshold says', '+++', '.++'],
    ['fail after as many in a row as the threshold says', '----', '..--'],
    ['count anew when they change', '--+--+-', '.......'],
  ])('%s', (_what, answers, expected) => {
    expect(verdicts(answers)).toBe(expected);
  });

  it('do not count as failures within the initial delay, and pass in it', () => {
    expect(verdicts('-------', 0)).toBe('.......');
    expect(verdicts('--------', 0)).toBe('.......-');
    expect(verdicts('++', 0)).toBe('.+');
  });

  it("allow a start what Azure's defaults would", () => {
    expect(startAllowanceMs(probeSchema.parse({}))).toBe(310_000);
  });
});
