/** How each device of a rollout stands, given what it says now. Pure. */
import { errorRegistry, isErrorCode } from '#shared/kernel/errors.js';
import { stepEndsAt, unreachableAt } from './deadlines.js';
import type { Problem } from './observe.js';
import type { Retry, RetryClass, RolloutPolicy } from './policy.js';
import type { Outcome, Rollout, RolloutDevice } from './rollout-model.js';

/** @returns how it stands from now on; undefined: as before */
export function judgeDevice(
  one: RolloutDevice,
  rollout: Rollout,
  policy: RolloutPolicy,
  now: number,
): Outcome | undefined {
  switch (one.standing) {
    case 'queued':
    case 'left':
      return judgeQueued(one, rollout, policy, now);
    case 'changing':
      return judgeChanging(one, policy, now);
    case 'returning':
      return judgeReturning(one, policy, now);
    case 'unreachable':
      return judgeUnreachable(one, rollout, policy, now);
    case 'succeeded':
      // While the rollout lasts, what answered first and failed then is a failure.
      return one.observed.kind === 'failed' ? ended(one, 'failed', now, one.observed.problem) : undefined;
    case 'failed':
    case 'overtaken':
    case 'gone':
    case 'cancelled':
    case 'returned':
    case 'return-failed':
      return undefined;
  }
}

function judgeQueued(one: RolloutDevice, rollout: Rollout, policy: RolloutPolicy, now: number): Outcome | undefined {
  if (one.observed.kind === 'gone') return ended(one, 'gone', now);
  if (rollout.state !== 'running') return undefined;
  const follows = policy.lateJoiners === 'follow';
  if (one.standing === 'left') return one.member && follows ? { device: one.device, standing: 'queued' } : undefined;
  // One that was assigned is under way whatever the query says.
  if (follows && !one.member && !one.touched) return ended(one, 'left', now);
  if (one.wave > rollout.wave) return undefined;
  if (!one.touched && one.observed.kind === 'there') return ended(one, 'succeeded', now);
  return now >= unreachableAt(one, rollout, policy) ? ended(one, 'unreachable', now, away) : undefined;
}

function judgeChanging(one: RolloutDevice, policy: RolloutPolicy, now: number): Outcome | undefined {
  const { observed } = one;
  switch (observed.kind) {
    case 'there':
      return ended(one, 'succeeded', now);
    case 'gone':
    case 'overtaken':
      return ended(one, observed.kind, now);
    case 'failed':
      return failedOrAgain(one, observed.problem, classOf(observed.problem.code), policy, now);
    case 'working': {
      if (now < stepEndsAt(one, policy)) return undefined;
      if (!one.online) return ended(one, 'unreachable', now, away);
      const why = observed.problem === undefined ? '' : `; last: ${observed.problem.message}`;
      const problem = { code: 'device.timeout', message: `not done within the step's time${why}` };
      return failedOrAgain(one, problem, 'timeout', policy, now);
    }
  }
}

/** It comes back: with what it was asked before, or to wait for its turn again. */
function judgeUnreachable(
  one: RolloutDevice,
  rollout: Rollout,
  policy: RolloutPolicy,
  now: number,
): Outcome | undefined {
  if (one.observed.kind === 'gone') return ended(one, 'gone', now);
  if (!one.touched) {
    const again = rollout.state === 'running' && one.online;
    return again ? { device: one.device, standing: 'queued' } : undefined;
  }
  if (one.observed.kind !== 'working') return judgeChanging(one, policy, now);
  // Asked already, and back in time: it changes by itself, hence counts as changing.
  return one.online && now < stepEndsAt(one, policy) ? { device: one.device, standing: 'changing' } : undefined;
}

function judgeReturning(one: RolloutDevice, policy: RolloutPolicy, now: number): Outcome | undefined {
  const { observed } = one;
  switch (observed.kind) {
    case 'there':
      return ended(one, 'returned', now);
    case 'gone':
    case 'overtaken':
      return ended(one, observed.kind, now);
    case 'failed':
      return ended(one, 'return-failed', now, observed.problem);
    case 'working':
      return now < stepEndsAt(one, policy)
        ? undefined
        : ended(
            one,
            'return-failed',
            now,
            one.online ? late : { ...away, message: `${away.message}; it goes back when it comes` },
          );
  }
}

/** What the registry of errors says of trying again. */
export function classOf(code: string): RetryClass {
  return isErrorCode(code) ? errorRegistry[code].retry : 'later';
}

function failedOrAgain(
  one: RolloutDevice,
  problem: Problem,
  kind: RetryClass,
  policy: RolloutPolicy,
  now: number,
): Outcome {
  const retry = policy.retries[kind];
  if (one.attempts > retry.attempts) return ended(one, 'failed', now, problem);
  return { device: one.device, standing: 'queued', retryAt: now + backoffOf(retry, one.attempts), reason: problem };
}

const maxBackoffMs = 86_400_000;

function backoffOf({ backoffSeconds }: Retry, attempts: number): number {
  return Math.min(maxBackoffMs, backoffSeconds * 1000 * 2 ** Math.max(0, attempts - 1));
}

const away: Problem = { code: 'device.offline', message: 'it is not connected' };
const late: Problem = { code: 'device.timeout', message: "did not go back within the step's time" };

function ended(one: RolloutDevice, standing: Outcome['standing'], now: number, reason?: Problem): Outcome {
  return { device: one.device, standing, endedAt: now, ...(reason === undefined ? {} : { reason }) };
}

/** The device as it stands after it. */
export function withOutcome(one: RolloutDevice, outcome: Outcome | undefined): RolloutDevice {
  if (outcome === undefined) return one;
  const { standing, retryAt, endedAt, reason } = outcome;
  return { ...one, standing, retryAt, endedAt, reason };
}
