/** A rollout that ends: devices under way come to their end or go back, the others are let off. Pure. */
import { roomFor } from './deadlines.js';
import { awaitsWindow } from './openings.js';
import type { RolloutPolicy } from './policy.js';
import type { Assignment, Ending, Outcome, Rollout, RolloutDevice, Step } from './rollout-model.js';
import { endingOf } from './thresholds.js';

export function planEnding(
  devices: readonly RolloutDevice[],
  rollout: Rollout,
  policy: RolloutPolicy,
  now: number,
): Step {
  const ending = rollout.ending ?? endingOf('stop');
  const outcomes: Outcome[] = [];
  const back: RolloutDevice[] = [];
  for (const one of devices) {
    if (isToReturn(one, ending)) {
      // What somebody else made of it since stays.
      const { kind } = one.observed;
      if (kind === 'overtaken' || kind === 'gone') outcomes.push({ device: one.device, standing: kind, endedAt: now });
      else back.push(one);
    } else if (one.standing === 'queued') {
      const standing = one.touched ? 'failed' : 'cancelled';
      outcomes.push({ device: one.device, standing, endedAt: now, ...(one.reason ? { reason: one.reason } : {}) });
    }
  }
  // Who is changing already counts already: turning round makes nobody else unavailable.
  const turning = back.filter(({ standing }) => standing === 'changing');
  const others = back.filter(({ standing }) => standing !== 'changing');
  const next = [...others.filter(({ online }) => online), ...others.filter(({ online }) => !online)];
  const assignments = [...turning, ...next.slice(0, roomFor(devices, policy, now))].map(
    ({ device }): Assignment => ({ device, action: 'return' }),
  );
  const goesOn =
    back.length > 0 ||
    devices.some(({ ledBack }) => ledBack === true) ||
    devices.some(({ standing }) => standing === 'changing' || standing === 'returning');
  return { assignments, outcomes, ...(goesOn ? {} : { transition: { kind: 'finish', state: ending.as } }) };
}

/** Waits to go back to what it had. */
export function isToReturn(one: RolloutDevice, { returns }: Ending): boolean {
  const { touched, standing } = one;
  // What was asked and has not begun is taken back: nothing of it is running.
  if (touched && awaitsWindow(one)) return true;
  if (!touched || returns === 'none') return false;
  if (standing === 'changing' || standing === 'queued' || standing === 'unreachable') return true;
  return returns === 'all' && (standing === 'succeeded' || standing === 'failed');
}
