/** Shifts as the API tells of them. Pure. */
import { toInstant } from '#shared/kernel/clock.js';
import type { ShiftBody, ShiftDetail } from '#cloud/http/schemas/shifts.js';
import type { ShiftLook } from './shift-controller.js';
import { stagesOf, type Weights } from './shift-model.js';
import type { StoredShift, StoredShiftVerdict } from './shift-repository.js';
import { isAccepted, nameOf } from './stage-verdicts.js';

/** @param endpoint its name */
export function toShiftBody(endpoint: string, stored: StoredShift): ShiftBody {
  const { number, shift, policy, createdAt, createdBy, updatedAt, endedAt } = stored;
  const { state, reason, target, others, stage, before, set } = shift;
  return {
    ...{ number, endpoint, target, others: [...others], state, ...(reason === undefined ? {} : { reason }) },
    ...{
      stage: stage + 1,
      stages: stagesOf(policy).map(({ kind, percent, bakeSeconds }) => ({ kind, percent, bakeSeconds })),
      before: weightsBody(before),
      set: weightsBody(set),
      policy,
    },
    ...{ createdAt, createdBy, updatedAt, ...(endedAt === undefined ? {} : { endedAt }) },
  };
}

export function toShiftDetail(
  endpoint: string,
  stored: StoredShift,
  kept: readonly StoredShiftVerdict[],
  { plan, verdicts = [] }: ShiftLook,
): ShiftDetail {
  const { shift } = stored;
  const decided = verdicts.length === 0 ? kept : kept.filter(({ stage }) => stage !== shift.stage);
  const now = verdicts.map((verdict) => ({ ...verdict, stage: shift.stage, at: undefined }));
  return {
    ...toShiftBody(endpoint, stored),
    waiting: plan.waiting.map(({ kind, until, text }) => ({
      ...{ kind, text },
      ...(until === undefined || !Number.isFinite(until) ? {} : { until: toInstant(until) }),
    })),
    gates: [...decided, ...now].map(({ stage, ...verdict }) => ({
      ...{ ...verdict, stage: stage + 1, accepted: stage === shift.stage && isAccepted(nameOf(verdict), shift) },
    })),
  };
}

function weightsBody({ traffic, mirror }: Weights): ShiftBody['set'] {
  return { traffic: { ...traffic }, ...(mirror === undefined ? {} : { mirror: { ...mirror } }) };
}
