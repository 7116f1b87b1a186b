/**
 * A shadow: a version that gets copies of a module's live requests beside the one that answers, and whose answers
 * are compared and never sent. What is asked of it, what a device says of it, and what was counted.
 */
import * as z from 'zod';
import { comparisonSchema } from './comparison.js';
import { counterSchema, digestSchema, problemSchema } from './primitives.js';
import { encodedSketchSchema } from './sketch.js';

/** Which requests a shadow gets, and when its answer counts as the same. */
export const shadowRuleSchema = z.strictObject({
  /** Of a hundred live requests that name no version, so many are copied. */
  percent: z.number().gt(0).max(100).default(100),
  compare: comparisonSchema.prefault({ kind: 'tolerance' }),
  /** A word under which what is compared from now on is told: numbers of another word are never added to these. */
  tag: z.string().min(1).max(64).optional(),
  /** Copies that wait at most, with the answers they are compared to; more are dropped and counted. */
  maxWaiting: z.int().min(1).max(10_000).default(64),
  maxWaitingBytes: z
    .int()
    .min(1024)
    .max(1024 ** 3)
    .default(32 * 1024 ** 2),
});
export type ShadowRule = z.infer<typeof shadowRuleSchema>;

/** `restarting`: its processes ended and are started again after a pause. */
export const shadowStates = ['fetching', 'staged', 'proving', 'running', 'restarting', 'rejected', 'failed'] as const;
export type ShadowState = (typeof shadowStates)[number];

export const shadowReportSchema = z.object({
  digest: digestSchema,
  version: z.int().min(1),
  state: z.enum(shadowStates),
  /** The execution provider that really runs the model. */
  provider: z.string().max(64).optional(),
  reason: problemSchema.optional(),
  /** Of its golden vectors, and since it runs: compared, agreed, shadowErrors, dropped, liveP99Ms, shadowP99Ms. */
  numbers: z.record(z.string(), z.number()).optional(),
});
export type ShadowReport = z.infer<typeof shadowReportSchema>;

/** What came of copies in one interval, with the shadow that they went to. Counts are deltas. */
export const shadowMetricsSchema = z.object({
  digest: digestSchema,
  version: z.int().min(1),
  /** As the desired document has it. */
  tag: z.string().max(64).optional(),
  /** Both answered, and the answers were compared. */
  compared: counterSchema,
  agreed: counterSchema,
  /** Both answered, and the answers were too large to compare. */
  uncompared: counterSchema,
  /** Requests to be copied that the live version failed on by its own fault. */
  liveErrors: counterSchema,
  /** Copies that only the shadow failed on. */
  shadowErrors: counterSchema,
  /** Requests chosen to be copied for which there was no room, or no shadow at that moment. */
  dropped: counterSchema,
  /** Of two floats at the same place; absent: none differed in what was compared. */
  largestDifference: z.number().min(0).optional(),
  /** Of the same requests on both sides, in milliseconds. */
  liveLatencyMs: encodedSketchSchema,
  shadowLatencyMs: encodedSketchSchema,
});
export type ShadowMetrics = z.infer<typeof shadowMetricsSchema>;
