/** How many devices a rate lets through now. Pure. */
import type { RolloutPolicy } from './policy.js';
import type { RolloutDevice } from './rollout-model.js';

const minuteMs = 60_000;

type Paced = Pick<RolloutDevice, 'assignedAt' | 'standing'>;

/** Devices a minute: constant, or rising with those that succeeded. */
export function ratePerMinute(devices: readonly Paced[], rate: NonNullable<RolloutPolicy['rate']>): number {
  const succeeded = devices.filter(({ standing }) => standing === 'succeeded').length;
  const steps = Math.floor(succeeded / rate.everySucceeded);
  return Math.max(1, Math.floor(Math.min(rate.maxPerMinute, rate.perMinute * rate.factor ** steps)));
}

/** @returns how many may be assigned now; infinite without a rate */
export function allowanceByRate(devices: readonly Paced[], { rate }: Pick<RolloutPolicy, 'rate'>, now: number): number {
  if (rate === undefined) return Number.POSITIVE_INFINITY;
  return Math.max(0, ratePerMinute(devices, rate) - recent(devices, now).length);
}

/** When the next one is let through. */
export function rateOpensAt(devices: readonly Paced[], now: number): number {
  return recent(devices, now).reduce((first, at) => Math.min(first, at), Number.POSITIVE_INFINITY) + minuteMs;
}

/** Instants of what was assigned within the last minute. */
function recent(devices: readonly Paced[], now: number): number[] {
  return devices.flatMap(({ assignedAt }) =>
    assignedAt !== undefined && assignedAt > now - minuteMs ? [Math.min(assignedAt, now)] : [],
  );
}
