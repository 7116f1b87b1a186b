/** What a step, or a person's order, makes of a shift. Pure. */
import { AppError } from '#shared/kernel/errors.js';
import { isOver, type Shift, type ShiftHold, type ShiftTransition } from './shift-model.js';

export function afterShiftStep(shift: Shift, transition: ShiftTransition, now: number): Shift {
  switch (transition.kind) {
    case 'advance':
      return { ...shift, stage: transition.stage, stageStartedAt: now, set: transition.weights };
    case 'pause':
      return { ...shift, state: 'paused', reason: transition.reason, pausedAt: now };
    case 'return':
      return { ...over(shift), state: transition.as, reason: transition.reason, set: transition.weights };
    case 'finish':
      return { ...over(shift), state: 'succeeded', reason: undefined };
    case 'overtaken':
      return { ...over(shift), state: 'overtaken', reason: transition.reason };
  }
}

function over(shift: Shift): Shift {
  return { ...shift, pausedAt: undefined };
}

/** After these were told. */
export function withShiftHolds(shift: Shift, holds: readonly ShiftHold[]): Shift {
  if (holds.length === 0) return shift;
  const { stage, toldHolds } = shift;
  const before = toldHolds?.stage === stage ? toldHolds.causes : [];
  return {
    ...shift,
    toldHolds: { stage, causes: [...new Set([...before, ...holds.map(({ cause }) => cause)])].sort() },
  };
}

export type ShiftOrder = 'pause' | 'resume' | 'abort';

/** @throws AppError `shift.state` that says what the shift is and what would help */
export function afterPause(shift: Shift, now: number): Shift {
  if (shift.state !== 'running') throw refused(shift, 'only one that is running can be paused');
  return { ...shift, state: 'paused', pausedAt: now, reason: { code: 'requested', text: 'paused by a person' } };
}

/** Goes on in spite of the gates that stopped it, in this stage. @throws AppError `shift.state` */
export function afterResume(shift: Shift, now: number): Shift {
  if (shift.state !== 'paused') throw refused(shift, 'only one that is paused can be resumed');
  const { reason, pausedAt = now, stage, acceptedGates } = shift;
  const before = acceptedGates?.stage === stage ? acceptedGates.gates : [];
  const accepted = reason?.code === 'gate' ? (reason.gates ?? []) : [];
  return {
    ...{ ...shift, state: 'running', pausedAt: undefined, reason: undefined },
    countedFrom: shift.countedFrom + Math.max(0, now - pausedAt),
    ...(accepted.length === 0
      ? {}
      : { acceptedGates: { stage, gates: [...new Set([...before, ...accepted])].sort() } }),
  };
}

/** @throws AppError `shift.state` where it is over */
export function requireOpen(shift: Shift): void {
  if (isOver(shift.state)) throw refused(shift, 'it is over; flotilla endpoint traffic sets weights by hand');
}

function refused({ state }: Shift, why: string): AppError {
  return new AppError('shift.state', `the shift is ${state}: ${why}`);
}
