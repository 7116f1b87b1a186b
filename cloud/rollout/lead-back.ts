/** Single devices that a person leads back to what they had, whatever becomes of the rollout. Pure. */
import { roomFor } from './deadlines.js';
import type { RolloutPolicy } from './policy.js';
import type { Assignment, Outcome, Rollout, RolloutDevice, Step } from './rollout-model.js';

const leavable: readonly RolloutDevice['standing'][] = ['queued', 'changing', 'succeeded', 'failed', 'unreachable'];

/** @returns the devices, those marked that are still to be led back */
export function withLeadBack(
  devices: readonly RolloutDevice[],
  { leadBack }: Pick<Rollout, 'leadBack'>,
): readonly RolloutDevice[] {
  if (leadBack === undefined) return devices;
  const named = new Set(leadBack);
  return devices.map((one) =>
    named.has(one.device) && one.touched && leavable.includes(one.standing) ? { ...one, ledBack: true } : one,
  );
}

/** @returns undefined when there is none, or no room for one */
export function planLeadBack(devices: readonly RolloutDevice[], policy: RolloutPolicy, now: number): Step | undefined {
  const back = devices.filter(({ ledBack }) => ledBack === true);
  const outcomes: Outcome[] = [];
  const turning: RolloutDevice[] = [];
  const others: RolloutDevice[] = [];
  for (const one of back) {
    const { kind } = one.observed;
    // What somebody else made of it since stays.
    if (kind === 'overtaken' || kind === 'gone') outcomes.push({ device: one.device, standing: kind, endedAt: now });
    else (one.standing === 'changing' ? turning : others).push(one);
  }
  const assignments = [...turning, ...others.slice(0, roomFor(devices, policy, now))].map(
    ({ device }): Assignment => ({ device, action: 'return' }),
  );
  return assignments.length + outcomes.length === 0 ? undefined : { assignments, outcomes };
}
