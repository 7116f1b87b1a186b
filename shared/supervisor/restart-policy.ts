/** Whether, and when, a host process that ended is started again. Pure. */
import { backoffMs, type BackoffPolicy } from '#shared/kernel/backoff.js';
import type { RestartPolicy } from '#shared/protocol/desired.js';

const backoff: BackoffPolicy = { baseMs: 500, maxMs: 60_000 };

export interface ProcessExit {
  readonly atMs: number;
  /** Exit code 0, not asked for by us. */
  readonly clean: boolean;
}

export type RestartDecision =
  | { readonly kind: 'restart'; readonly atMs: number }
  | { readonly kind: 'stop'; readonly reason: string };

/**
 * @param input.exits every exit that is remembered, in any order; those older than the policy's window
 *   do not count. `nowMs` and their `atMs` are of one clock.
 */
export function decideRestart(input: {
  readonly policy: RestartPolicy;
  readonly exits: readonly ProcessExit[];
  readonly nowMs: number;
  readonly random: number;
}): RestartDecision {
  const { policy, exits, nowMs, random } = input;
  const last = exits.reduce<ProcessExit | undefined>(
    (latest, exit) => (latest === undefined || exit.atMs >= latest.atMs ? exit : latest),
    undefined,
  );
  if (last === undefined) return { kind: 'restart', atMs: nowMs };
  if (policy.restart === 'never') return { kind: 'stop', reason: 'it ended, and its policy is restart: never' };
  if (policy.restart === 'on-failure' && last.clean) {
    return { kind: 'stop', reason: 'it ended without an error, and its policy is restart: on-failure' };
  }
  const windowStart = nowMs - policy.windowSeconds * 1000;
  const recent = exits.filter((exit) => exit.atMs > windowStart).length;
  if (recent > policy.maxRestarts) {
    return {
      kind: 'stop',
      reason: `it ended ${String(recent)} times within ${String(policy.windowSeconds)} s; its policy allows ${String(policy.maxRestarts)} restarts`,
    };
  }
  // A clock that was set back must not hold the restart until it has caught up.
  const endedAtMs = Math.min(last.atMs, nowMs);
  return { kind: 'restart', atMs: endedAtMs + backoffMs(Math.max(1, recent), backoff, random) };
}
