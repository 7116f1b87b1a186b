/** When things end by themselves. Pure. */
import { type RolloutPolicy, unavailableBudget } from './policy.js';
import type { Rollout, RolloutDevice } from './rollout-model.js';

/** Counted while its maintenance window is open, from each opening anew; what goes back waits for none. */
export function stepEndsAt(
  { assignedAt = 0, standing, window }: Pick<RolloutDevice, 'assignedAt' | 'standing' | 'window'>,
  policy: RolloutPolicy,
): number {
  const opening = standing === 'returning' ? undefined : window;
  const from = opening === undefined ? assignedAt : opening.open ? opening.since : opening.opensAt;
  return Math.max(assignedAt, from) + policy.stepTimeoutSeconds * 1000;
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

/**
 * How many more may change. One that waits for its window holds no room, unless that opens before one that is asked
 * now must be done.
 */
export function roomFor(devices: readonly RolloutDevice[], policy: RolloutPolicy, now: number): number {
  const soon = now + policy.stepTimeoutSeconds * 1000;
  const held = devices.filter(({ standing, window }) => {
    if (standing === 'returning') return true;
    return standing === 'changing' && (window?.open !== false || window.opensAt <= soon);
  });
  return Math.max(0, unavailableBudget(policy, devices.length) - held.length);
}
