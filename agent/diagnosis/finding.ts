/** What a check found out about this device, and what a person can do about it. */
import { messageOf } from '#shared/kernel/errors.js';
import type { Clock } from '#shared/kernel/clock.js';

/** `warning`: works now, and will not for long or not everywhere. `skipped`: nothing to look at. */
export type Outcome = 'ok' | 'warning' | 'error' | 'skipped';

export interface Finding {
  readonly outcome: Outcome;
  readonly message: string;
  readonly remedy?: string;
}

export interface NamedFinding extends Finding {
  readonly check: string;
}

export interface Check {
  readonly name: string;
  /** May throw: that is an error of the thing that was checked. */
  readonly run: (signal: AbortSignal) => Promise<Finding>;
}

/** All at once, each for at most so long, in the order given. */
export function runChecks(checks: readonly Check[], deadlineMs: number, clock: Clock): Promise<NamedFinding[]> {
  return Promise.all(checks.map(async (check) => ({ check: check.name, ...(await runOne(check, deadlineMs, clock)) })));
}

async function runOne(check: Check, deadlineMs: number, clock: Clock): Promise<Finding> {
  const timeUp = new AbortController();
  const done = new AbortController();
  const late = clock.sleep(deadlineMs, done.signal).then((): Finding => {
    timeUp.abort();
    return { outcome: 'error', message: `no answer within ${String(deadlineMs / 1000)} s` };
  });
  try {
    return await Promise.race([check.run(timeUp.signal), late]);
  } catch (error) {
    return { outcome: 'error', message: messageOf(error) };
  } finally {
    done.abort();
  }
}

export function passed(findings: readonly NamedFinding[]): boolean {
  return findings.every(({ outcome }) => outcome !== 'error');
}
