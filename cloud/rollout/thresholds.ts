/** Whether a wave may go on: failures and successes among what was executed, and who could not be reached. Pure. */
import type { RolloutPolicy } from './policy.js';
import type { Ending, Reason, Rollout, RolloutDevice, Transition } from './rollout-model.js';

interface Counts {
  /** Devices of the wave, and those of earlier ones that ended during it. */
  readonly size: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly unreachable: number;
  /** Somebody went on after they had ended. */
  readonly accepted: number;
}

export function countWave(devices: readonly RolloutDevice[], rollout: Rollout): Counts {
  const counted = { size: 0, succeeded: 0, failed: 0, unreachable: 0, accepted: 0 };
  for (const { wave, standing, endedAt = 0 } of devices) {
    if (wave > rollout.wave || (wave < rollout.wave && endedAt < rollout.waveStartedAt)) continue;
    counted.size += 1;
    if (standing !== 'succeeded' && standing !== 'failed' && standing !== 'unreachable') continue;
    if (rollout.acceptedAt !== undefined && endedAt <= rollout.acceptedAt) counted.accepted += 1;
    else counted[standing] += 1;
  }
  return counted;
}

/** What has gone wrong already, while the wave is under way or watched. */
export function crossedThreshold(
  devices: readonly RolloutDevice[],
  rollout: Rollout,
  policy: RolloutPolicy,
): Transition | undefined {
  const { size, succeeded, failed, unreachable } = countWave(devices, rollout);
  const executed = succeeded + failed;
  const { maxPercent, minExecuted } = policy.failure;
  if (executed >= Math.min(minExecuted, size) && executed > 0 && failed * 100 > maxPercent * executed) {
    const text = `${String(failed)} of ${String(executed)} failed in wave ${waveText(rollout)}, more than ${String(maxPercent)}%`;
    return stopped(policy, { code: 'failures', text });
  }
  if (size > 0 && unreachable * 100 > policy.unreachable.maxPercent * size) {
    const text = `${String(unreachable)} of ${String(size)} cannot be reached in wave ${waveText(rollout)}, more than ${String(policy.unreachable.maxPercent)}%`;
    return stopped(policy, { code: 'unreachable', text });
  }
  return undefined;
}

/** Whether what was executed is too little or too bad, once all of the wave has ended. */
export function unmetSuccess(
  devices: readonly RolloutDevice[],
  rollout: Rollout,
  policy: RolloutPolicy,
): Transition | undefined {
  const { succeeded, failed, unreachable, accepted } = countWave(devices, rollout);
  const executed = succeeded + failed;
  if (executed === 0) {
    if (unreachable === 0 || accepted > 0) return undefined;
    const text = `none of wave ${waveText(rollout)} could be reached: nothing is known of the release`;
    return { kind: 'pause', reason: { code: 'nothing-executed', text } };
  }
  const { minPercent } = policy.success;
  if (succeeded * 100 >= minPercent * executed) return undefined;
  const text = `${String(succeeded)} of ${String(executed)} succeeded in wave ${waveText(rollout)}, less than ${String(minPercent)}%`;
  return stopped(policy, { code: 'successes', text });
}

export function endingOf(how: 'stop' | 'rollback'): Ending {
  return how === 'rollback' ? { as: 'rolled-back', returns: 'all' } : { as: 'failed', returns: 'none' };
}

/** What the policy has for a release that is worse. */
export function stopped({ onFailure }: Pick<RolloutPolicy, 'onFailure'>, reason: Reason): Transition {
  return onFailure === 'pause' ? { kind: 'pause', reason } : { kind: 'end', ending: endingOf(onFailure), reason };
}

/** Waves are counted from 1 for people. */
function waveText({ wave }: Rollout): string {
  return String(wave + 1);
}
