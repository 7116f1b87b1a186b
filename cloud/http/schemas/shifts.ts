import * as z from 'zod';
import { comparisonSchema } from '#shared/protocol/comparison.js';
import { counterSchema, digestSchema, instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { shiftReasonCodes, shiftStates, shiftWaitKinds } from '#cloud/services/shift/shift-model.js';
import { shiftPolicySchema } from '#cloud/services/shift/shift-policy.js';
import { rolloutGates } from './rollouts.js';

export const shiftStart = z.strictObject({
  /** The deployment that is to answer everything. */
  to: nameSchema,
  policy: shiftPolicySchema.prefault({}),
});

export const shiftOrder = z.strictObject({ order: z.enum(['pause', 'resume', 'abort']) });

const percent = z.int().min(0).max(100);
const weights = z.object({
  traffic: z.record(nameSchema, percent),
  mirror: z.object({ deployment: nameSchema, percent, compare: comparisonSchema.optional() }).optional(),
});
const member = z.object({
  deployment: nameSchema,
  revision: counterSchema,
  module: nameSchema,
  version: z.int(),
  digest: digestSchema,
});

export const shiftBody = z.object({
  /** Counted within the endpoint, from 1. */
  number: z.int(),
  endpoint: nameSchema,
  target: member,
  /** Those that had traffic before. */
  others: z.array(member),
  state: z.enum(shiftStates),
  reason: z
    .object({ code: z.enum(shiftReasonCodes), text: z.string(), gates: z.array(z.string()).readonly().optional() })
    .optional(),
  /** Whose turn it is, from 1; 0 until the target is ready for the first. */
  stage: z.int(),
  stages: z.array(z.object({ kind: z.enum(['mirror', 'step']), percent, bakeSeconds: z.int() })),
  /** Where a return leads. */
  before: weights,
  /** As the shift has set it last. */
  set: weights,
  policy: shiftPolicySchema,
  createdAt: instantSchema,
  createdBy: z.string(),
  updatedAt: instantSchema,
  endedAt: instantSchema.optional(),
});
export type ShiftBody = z.output<typeof shiftBody>;

export const shiftDetail = shiftBody.extend({
  waiting: z.array(z.object({ kind: z.enum(shiftWaitKinds), until: instantSchema.optional(), text: z.string() })),
  /** What quality gates say: now of the stage whose turn it is, and of those before what they ended with. */
  gates: z.array(rolloutGates.shape.items.element.omit({ wave: true }).extend({ stage: z.int() })),
});
export type ShiftDetail = z.output<typeof shiftDetail>;

export const shiftHistoryBody = z.object({ at: instantSchema, kind: z.string(), text: z.string() });
export type ShiftHistoryBody = z.output<typeof shiftHistoryBody>;
