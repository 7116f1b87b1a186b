/** What a step, or a person's order, makes of a rollout and its devices. Pure. */
import { AppError } from '#shared/kernel/errors.js';
import {
  type Assignment,
  type Ending,
  isFinal,
  type Outcome,
  type Reason,
  type Rollout,
  type RolloutDevice,
  type Transition,
} from './rollout-model.js';

export function afterTransition(rollout: Rollout, transition: Transition, now: number): Rollout {
  switch (transition.kind) {
    case 'advance':
      return { ...rollout, wave: transition.wave, waveStartedAt: now };
    case 'shadowed':
      return { ...rollout, shadowedAt: now };
    case 'pause':
      return { ...rollout, state: 'paused', reason: transition.reason, pausedAt: now };
    case 'end':
      return { ...rollout, state: 'ending', ending: transition.ending, reason: transition.reason };
    case 'finish':
      return {
        ...rollout,
        state: transition.state,
        ...(transition.state === 'succeeded' ? { reason: undefined } : {}),
      };
  }
}

/** Before the device's desired document is written, in the same transaction. */
export function afterAssignment(
  one: Pick<RolloutDevice, 'attempts'>,
  { device, action }: Assignment,
  now: number,
): Outcome & { readonly attempts: number; readonly assignedAt: number } {
  return action === 'deploy'
    ? { device, standing: 'changing', attempts: one.attempts + 1, assignedAt: now }
    : { device, standing: 'returning', attempts: one.attempts, assignedAt: now };
}

export type Order =
  | { readonly kind: 'pause' }
  /** @param ignoreFreeze freeze periods do not hold it from now on; then it need not be paused */
  | { readonly kind: 'resume'; readonly ignoreFreeze?: boolean }
  | { readonly kind: 'approve' }
  /** @param running devices under way go back too; else they come to their end */
  | { readonly kind: 'abort'; readonly running: boolean }
  /** @param devices only these, whatever becomes of the others; absent: all */
  | { readonly kind: 'rollback'; readonly devices?: readonly string[] | undefined };

/** @throws AppError `rollout.state` that says what the rollout is and what would help */
export function afterOrder(rollout: Rollout, order: Order, now: number): Rollout {
  const { state } = rollout;
  switch (order.kind) {
    case 'pause':
      if (state !== 'running') throw refused(rollout, 'only one that is running can be paused');
      return { ...rollout, state: 'paused', pausedAt: now, reason: requested('paused by a person') };
    case 'resume': {
      const ignoring = order.ignoreFreeze === true ? { ignoresFreeze: true } : {};
      if (order.ignoreFreeze === true && state === 'running') return { ...rollout, ...ignoring };
      if (state !== 'paused') throw refused(rollout, 'only one that is paused can be resumed');
      const { reason, pausedAt = now } = rollout;
      const accepts = reason !== undefined && reason.code !== 'requested' && reason.code !== 'gate';
      return {
        ...{ ...rollout, state: 'running', pausedAt: undefined, reason: undefined },
        countedFrom: rollout.countedFrom + Math.max(0, now - pausedAt),
        ...(accepts ? { acceptedAt: now } : {}),
        ...ignoring,
        ...(reason?.code === 'gate' ? { acceptedGates: withGates(rollout, reason.gates ?? []) } : {}),
      };
    }
    case 'approve':
      if (state !== 'running' && state !== 'paused') throw refused(rollout, 'there is nothing to approve any more');
      if (rollout.approvedBefore > rollout.wave) throw refused(rollout, 'its wave is approved already');
      return { ...rollout, approvedBefore: rollout.wave + 1 };
    case 'abort':
      if (isFinal(state)) throw refused(rollout, 'it is over; flotilla rollout rollback brings its devices back');
      return ending(rollout, { as: 'aborted', returns: order.running ? 'changing' : 'none' }, 'aborted by a person');
    case 'rollback':
      if (state === 'rolled-back' || state === 'superseded')
        throw refused(rollout, 'there is nothing left to roll back');
      if (order.devices !== undefined) return leadingBack(rollout, order.devices);
      if (state === 'ending' && rollout.ending?.returns === 'all')
        throw refused(rollout, 'its devices go back already');
      return ending(rollout, { as: 'rolled-back', returns: 'all' }, 'rolled back by a person');
  }
}

function withGates({ wave, acceptedGates }: Rollout, gates: readonly string[]): NonNullable<Rollout['acceptedGates']> {
  const before = acceptedGates?.wave === wave ? acceptedGates.gates : [];
  return { wave, gates: [...new Set([...before, ...gates])].sort() };
}

function ending(rollout: Rollout, how: Ending, text: string): Rollout {
  return { ...rollout, state: 'ending', ending: how, pausedAt: undefined, reason: requested(text) };
}

/** One that is over ends once more, as it had, when they are back. */
function leadingBack(rollout: Rollout, devices: readonly string[]): Rollout {
  const { state } = rollout;
  const leadBack = [...new Set([...(rollout.leadBack ?? []), ...devices])].sort();
  return isFinal(state)
    ? { ...rollout, state: 'ending', ending: { as: state, returns: 'none' }, leadBack }
    : { ...rollout, leadBack };
}

function requested(text: string): Reason {
  return { code: 'requested', text };
}

function refused({ id, state, ending: how }: Rollout, why: string): AppError {
  const is = state === 'ending' ? `ending as ${how?.as ?? 'failed'}` : state;
  return new AppError('rollout.state', `rollout ${id} is ${is}: ${why}`);
}
