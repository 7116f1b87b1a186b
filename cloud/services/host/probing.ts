/** What answers to a probe, one after another, say of a replica, by Azure's settings. Pure. */
import type { Probe } from '../desired-services.js';

/** Answers in a row of the same kind, the last of them included. */
export interface Tally {
  readonly passes: number;
  readonly failures: number;
}

export const noAnswers: Tally = { passes: 0, failures: 0 };

/**
 * @param aliveMs since the replica was started: as long as `initialDelaySeconds`, no failure counts. A replica that
 *   passes sooner counts as passing sooner, since nothing is won by waiting
 */
export function tally(before: Tally, passed: boolean, probe: Probe, aliveMs: number): Tally {
  if (passed) return { passes: before.passes + 1, failures: 0 };
  if (aliveMs < probe.initialDelaySeconds * 1000) return { passes: 0, failures: before.failures };
  return { passes: 0, failures: before.failures + 1 };
}

export function verdictOf({ passes, failures }: Tally, probe: Probe): 'passes' | 'fails' | 'as before' {
  if (passes >= probe.successThreshold) return 'passes';
  return failures >= probe.failureThreshold ? 'fails' : 'as before';
}

/** How long a replica may take from its start until it answers: as long as a liveness probe would suffer it. */
export function startAllowanceMs({ initialDelaySeconds, periodSeconds, failureThreshold }: Probe): number {
  return (initialDelaySeconds + periodSeconds * failureThreshold) * 1000;
}
