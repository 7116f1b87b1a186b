/** What a device that has not ended waits for, and until when at most. Pure. */
import { bakedAt, roomFor, stepEndsAt, totalEndsAt, unreachableAt } from './deadlines.js';
import { isToReturn } from './ending.js';
import { awaitsWindow } from './openings.js';
import type { GateVerdict } from './gates/gate-model.js';
import { openGates } from './gates/gate-step.js';
import { isShadowing, type OpenShadow, openShadow } from './shadow/shadow-step.js';
import type { RolloutPolicy } from './policy.js';
import { allowanceByRate, rateOpensAt } from './rate.js';
import type { Assignment, Rollout, RolloutDevice, Wait } from './rollout-model.js';

export interface WaitContext {
  readonly rollout: Rollout;
  readonly policy: RolloutPolicy;
  readonly now: number;
  /** Devices that are asked something in this step. */
  readonly assigned: ReadonlySet<string>;
  /** After this step. */
  readonly room: number;
  readonly roomOpensAt: number;
  readonly allowed: number;
  readonly rateOpensAt: number;
  readonly bakedAt: number;
  /** A device of the waves up to now has not ended. */
  readonly waveIsOpen: boolean;
  /** What a gate of the wave lacks, or why it failed. */
  readonly openGate: string | undefined;
  /** What the shadow phase lacks; undefined where there is none. */
  readonly openShadow: OpenShadow | undefined;
}

export function waitContext(
  devices: readonly RolloutDevice[],
  assignments: readonly Assignment[],
  input: Pick<WaitContext, 'rollout' | 'policy' | 'now'> & {
    readonly gates?: readonly GateVerdict[] | undefined;
    readonly shadows?: readonly GateVerdict[] | undefined;
  },
): WaitContext {
  const { rollout, policy, now } = input;
  const ends = devices.flatMap((one) =>
    one.standing === 'changing' || one.standing === 'returning' ? [stepEndsAt(one, policy)] : [],
  );
  const opens = rateOpensAt(devices, now);
  return {
    ...{ rollout, policy, now, assigned: new Set(assignments.map(({ device }) => device)) },
    room: roomFor(devices, policy, now) - assignments.length,
    roomOpensAt: ends.reduce((first, end) => Math.min(first, end), now + policy.stepTimeoutSeconds * 1000),
    allowed: allowanceByRate(devices, policy, now) - assignments.length,
    rateOpensAt: Number.isFinite(opens) ? opens : now + 60_000,
    bakedAt: bakedAt(devices, rollout, policy),
    openGate: openGates(devices, input)[0]?.text,
    openShadow: isShadowing(input) ? openShadow(devices, input) : undefined,
    waveIsOpen: devices.some(
      ({ standing, wave }) => wave <= rollout.wave && (standing === 'queued' || standing === 'changing'),
    ),
  };
}

/** @returns none for a device that has ended */
export function waitOf(one: RolloutDevice, context: WaitContext): Wait[] {
  const { rollout, policy, now } = context;
  const { device } = one;
  if (context.assigned.has(device)) {
    return [{ device, kind: 'device', until: now + policy.stepTimeoutSeconds * 1000 }];
  }
  if (one.ledBack === true) return [{ device, kind: 'budget', until: context.roomOpensAt }];
  if (one.standing === 'changing' || one.standing === 'returning') {
    if (awaitsWindow(one) && one.window?.open === false) return [{ device, kind: 'window', until: one.window.opensAt }];
    const problem = one.observed.kind === 'working' ? one.observed.problem : undefined;
    const detail = problem === undefined ? {} : { detail: problem.message };
    return [{ device, kind: 'device', until: stepEndsAt(one, policy), ...detail }];
  }
  if (rollout.state === 'ending') {
    const waits = rollout.ending !== undefined && isToReturn(one, rollout.ending);
    return waits ? [{ device, kind: 'budget', until: context.roomOpensAt }] : [];
  }
  return one.standing === 'queued' ? [queuedWait(one, context)] : [];
}

function queuedWait(one: RolloutDevice, context: WaitContext): Wait {
  const { rollout, policy, now } = context;
  const { device } = one;
  if (rollout.state === 'paused') {
    return { device, kind: 'paused', ...(rollout.reason ? { detail: rollout.reason.text } : {}) };
  }
  if (one.wave > rollout.wave) return waveWait(one, context);
  if (!one.online) return { device, kind: 'offline', until: unreachableAt(one, rollout, policy) };
  if (context.openShadow !== undefined) {
    const { text, until = totalEndsAt(rollout, policy) } = context.openShadow;
    return { device, kind: 'shadow', until, detail: text };
  }
  if (one.retryAt !== undefined && one.retryAt > now) {
    return { device, kind: 'retry', until: one.retryAt, ...(one.reason ? { detail: one.reason.message } : {}) };
  }
  if (one.frozen !== undefined) return { device, kind: 'freeze', until: one.frozen.until, detail: one.frozen.name };
  if (one.window?.open === false) return { device, kind: 'window', until: one.window.opensAt };
  if (context.room <= 0) return { device, kind: 'budget', until: context.roomOpensAt };
  if (context.allowed <= 0) return { device, kind: 'rate', until: context.rateOpensAt };
  // The rollout itself goes on to something else in this very step.
  return { device, kind: 'wave', until: totalEndsAt(rollout, policy) };
}

function waveWait({ device, wave }: RolloutDevice, context: WaitContext): Wait {
  const { rollout, policy, now } = context;
  const until = totalEndsAt(rollout, policy);
  const detail = String(wave + 1);
  if (!context.waveIsOpen) {
    if (now < context.bakedAt) return { device, kind: 'bake', until: context.bakedAt, detail };
    if (context.openGate !== undefined) return { device, kind: 'gate', until, detail: context.openGate };
    const approval = policy.waves[rollout.wave]?.approval ?? false;
    if (approval && rollout.approvedBefore <= rollout.wave) return { device, kind: 'approval', until, detail };
  }
  return { device, kind: 'wave', until, detail };
}
