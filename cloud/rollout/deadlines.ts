/** When things end by themselves. Pure. */
import { type RolloutPolicy, unavailableBudget } from './policy.js';
import type { Rollout, RolloutDevice } from './rollout-model.js';

export function stepEndsAt(one: Pick<RolloutDevice, 'assignedAt'>, policy: RolloutPolicy): number {
  return (one.assignedAt ?? 0) + policy.stepTimeoutSeconds * 1000;
}

export function totalEndsAt(rollout: Pick<Rollout, 'countedFrom'>, policy: RolloutPolicy): number {
  return rollout.countedFrom + policy.totalTimeoutSeconds * 1000;
}

/** When a device that is away is given up; never for one that is there. */
export function unreachableAt(
  one: Pick<RolloutDevice, 'online' | 'offlineSince'>,
  rollout: Pick<Rollout, 'waveStartedAt' | 'acceptedAt'>,
  policy: Pick<RolloutPolicy, 'unreachable'>,
): number {
  if (one.online) return Number.POSITIVE_INFINITY;
  const since = Math.max(one.offlineSince, rollout.waveStartedAt, rollout.acceptedAt ?? 0);
  return since + policy.unreachable.afterSeconds * 1000;
}

/** When the wave has been watched for as long as its policy says, after the last of its devices. */
export function bakedAt(devices: readonly RolloutDevice[], rollout: Rollout, policy: RolloutPolicy): number {
  const bakeMs = (policy.waves[rollout.wave]?.bakeSeconds ?? 0) * 1000;
  let last = rollout.waveStartedAt;
  for (const { wave, standing, endedAt = 0 } of devices) {
    if (wave === rollout.wave && (standing === 'succeeded' || standing === 'failed')) last = Math.max(last, endedAt);
  }
  return last + bakeMs;
}

/** Devices that are changing now: what `maxUnavailable` bounds. */
export function changingCount(devices: readonly Pick<RolloutDevice, 'standing'>[]): number {
  return devices.filter(({ standing }) => standing === 'changing' || standing === 'returning').length;
}

/** How many more may change. */
export function roomFor(devices: readonly RolloutDevice[], policy: RolloutPolicy): number {
  return Math.max(0, unavailableBudget(policy, devices.length) - changingCount(devices));
}
