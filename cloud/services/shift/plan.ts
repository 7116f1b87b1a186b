/**
 * The next step of a shift, from data alone: no clock, no chance, no I/O. Planning twice from the same state gives the
 * same step, hence a restart changes nothing.
 *
 * Invariants, held by property tests: the target never has more than the stage gives it, and no stage is left before its
 * gates have passed; weights add up to 100; one that is paused sets nothing; a good target comes to 100 percent, a bad
 * one ends with the weights of before; the order of the input changes nothing.
 */
import type { GateVerdict } from '#cloud/rollout/gates/gate-model.js';
import { overtakenBy } from './overtaken.js';
import {
  isOver,
  type Present,
  type Readiness,
  type Shift,
  type ShiftHold,
  type ShiftReason,
  type ShiftTransition,
  type ShiftWait,
  type Stage,
  stagesOf,
  type Weights,
} from './shift-model.js';
import type { ShiftPolicy } from './shift-policy.js';
import { failedIn, isAccepted, type OpenGate, openIn } from './stage-verdicts.js';
import { weightsAt } from './weights.js';
import { shadowGate } from '#cloud/rollout/shadow/shadow-verdicts.js';

export interface ShiftInput {
  readonly shift: Shift;
  readonly policy: ShiftPolicy;
  /** Of the stage whose turn it is; absent: nothing could be read. */
  readonly verdicts?: readonly GateVerdict[] | undefined;
  readonly readiness: Readiness;
  readonly present: Present;
  readonly now: number;
}

export interface ShiftPlan {
  readonly transition?: ShiftTransition | undefined;
  /** What it waits for; empty where it is over, or something is done now. */
  readonly waiting: readonly ShiftWait[];
  /** What holds the stage and was not told of it yet. Never together with a transition. */
  readonly holds: readonly ShiftHold[];
}

export function planShift(input: ShiftInput): ShiftPlan {
  const { shift, policy, present, now } = input;
  if (isOver(shift.state)) return waits();
  const overtaken = overtakenBy(shift, present);
  if (overtaken !== undefined) return does({ kind: 'overtaken', reason: overtaken });
  if (shift.state === 'paused') {
    return waits({ kind: 'paused', text: shift.reason?.text ?? 'paused' });
  }
  if (now >= endsAt(shift, policy)) {
    const text = `not done within ${String(policy.totalTimeoutSeconds)} s`;
    return does(returning(shift, present, { code: 'total-timeout', text }));
  }
  const unready = notReady(input);
  if (unready !== undefined) return does(stopping(input, unready));
  const stage = stagesOf(policy)[shift.stage];
  return stage === undefined ? beforeFirst(input) : within(stage, input);
}

/** By then it is over, whatever it waits for. */
export function endsAt({ countedFrom }: Shift, { totalTimeoutSeconds }: ShiftPolicy): number {
  return countedFrom + totalTimeoutSeconds * 1000;
}

function beforeFirst(input: ShiftInput): ShiftPlan {
  const { readiness, shift, policy } = input;
  if (readiness.kind === 'ready') return does(advance(0, input));
  return waits({ kind: 'ready', until: endsAt(shift, policy), text: readiness.text });
}

function within(stage: Stage, input: ShiftInput): ShiftPlan {
  const { shift, policy, readiness, now } = input;
  const context = { shift, stage, policy, verdicts: input.verdicts };
  const failed = failedIn(context);
  if (failed !== undefined) return does(stopping(input, inStage(failed, stage)));
  const until = endsAt(shift, policy);
  if (readiness.kind !== 'ready') return waits({ kind: 'ready', until, text: readiness.text });
  const open = openIn(context);
  const bakedAt = shift.stageStartedAt + stage.bakeSeconds * 1000;
  // Who goes on although copies did not agree does not wait for more of them.
  const isBaked = now >= bakedAt || (stage.kind === 'mirror' && isAccepted(shadowGate, shift));
  const waiting = [
    ...(isBaked ? [] : [{ kind: 'bake' as const, until: bakedAt, text: 'it is watched for a while' }]),
    ...open.map(({ text }) => ({
      kind: stage.kind === 'mirror' ? ('mirror' as const) : ('gate' as const),
      until,
      text,
    })),
  ];
  if (waiting.length > 0) return { waiting, holds: isBaked ? untold(open, shift) : [] };
  const isLast = shift.stage === stagesOf(policy).length - 1;
  return does(isLast ? { kind: 'finish' } : advance(shift.stage + 1, input));
}

/** It is refused, or has been without replicas for longer than the policy bears. */
function notReady({ readiness, shift, policy, now }: ShiftInput): ShiftReason | undefined {
  const code = 'not-ready';
  if (readiness.kind === 'failed') return { code, text: readiness.text };
  if (readiness.kind !== 'waiting') return undefined;
  // What starts for the first time may take as long as it needs.
  const counts = readiness.unhealthy || shift.stage >= 0;
  if (!counts || now - readiness.since < policy.unreadySeconds * 1000) return undefined;
  return { code, text: `${readiness.text}, for more than ${String(policy.unreadySeconds)} s` };
}

function stopping({ shift, policy, present }: ShiftInput, reason: ShiftReason): ShiftTransition {
  return policy.onFailure === 'pause' ? { kind: 'pause', reason } : returning(shift, present, reason);
}

/** All as it was before, at once. */
export function returning(
  { before }: Shift,
  present: Present,
  reason: ShiftReason,
  as: 'returned' | 'aborted' = 'returned',
): ShiftTransition {
  const { traffic, mirror } = before;
  // Who got copies before may be gone: nobody is led back to it.
  const isThere = present?.deployments.some(({ name }) => name === mirror?.deployment) ?? false;
  return { kind: 'return', as, weights: { traffic, ...(isThere ? { mirror } : {}) }, reason };
}

function advance(index: number, { shift, policy, present }: ShiftInput): ShiftTransition {
  const stages = stagesOf(policy);
  const stage = stages[index];
  if (stage === undefined) throw new Error(`a shift has no stage ${String(index)}`);
  return { kind: 'advance', stage: index, weights: weightsOf(stage, shift, present), text: stageText(stage, stages) };
}

function weightsOf(stage: Stage, { before, target: { deployment } }: Shift, present: Present): Weights {
  const { percent } = stage;
  if (stage.kind === 'mirror') {
    return { traffic: before.traffic, mirror: { deployment, percent, compare: stage.compare } };
  }
  const { mirror } = before;
  const keeps =
    mirror !== undefined &&
    mirror.deployment !== deployment &&
    (present?.deployments.some(({ name }) => name === mirror.deployment) ?? false);
  return { traffic: weightsAt(before.traffic, deployment, percent), ...(keeps ? { mirror } : {}) };
}

/** As people count. */
export function stageText(stage: Stage | undefined, stages: readonly Stage[]): string {
  if (stage === undefined) return 'before the first step';
  if (stage.kind === 'mirror') return `copies of ${String(stage.percent)}%`;
  const steps = stages.filter(({ kind }) => kind === 'step');
  return `step ${String(steps.indexOf(stage) + 1)} of ${String(steps.length)}, ${String(stage.percent)}%`;
}

function inStage(reason: ShiftReason, stage: Stage): ShiftReason {
  const where = stage.kind === 'mirror' ? 'by copies, it has answered nobody' : `at ${String(stage.percent)}%`;
  return { ...reason, text: `${reason.text}; ${where}` };
}

function untold(open: readonly OpenGate[], { stage, toldHolds }: Shift): ShiftHold[] {
  const told = toldHolds?.stage === stage ? toldHolds.causes : [];
  return open.filter(({ gate }) => !told.includes(gate)).map(({ gate, text }) => ({ cause: gate, text }));
}

function does(transition: ShiftTransition): ShiftPlan {
  return { transition, waiting: [], holds: [] };
}

function waits(...waiting: readonly ShiftWait[]): ShiftPlan {
  return { waiting, holds: [] };
}
