/** What a person asks of the shadow that comes before the first device switches. */
import * as z from 'zod';
import { comparisonSchema } from '#shared/protocol/comparison.js';
import { nameSchema } from '#shared/protocol/primitives.js';

const percent = z.number().min(0).max(100);

export const rolloutShadowSchema = z.strictObject({
  /** Of a hundred requests on the devices of the first wave, so many are copied. */
  percent: z.number().gt(0).max(100).default(100),
  /** When two answers are the same. */
  compare: comparisonSchema.prefault({ kind: 'tolerance' }),
  /** For modules whose answers are compared otherwise. */
  modules: z.record(nameSchema, comparisonSchema).default({}),
  /** At least so long, from the first device that was asked. */
  seconds: z
    .int()
    .min(0)
    .max(30 * 86_400)
    .default(600),
  /** Compared answers of each module below which nothing is decided. */
  minCompared: z.int().min(1).max(1_000_000_000).default(200),
  /** Of compared answers. */
  minAgreement: percent.default(99),
  /** Of copies, that only the shadow failed on. */
  maxErrorPercent: percent.default(1),
  /** Times the 99th percentile of the version that answers, over the same requests; absent: latency is not judged. */
  maxLatencyRatio: z.number().min(1).max(1000).optional(),
  /** How sure it must be, either way. */
  confidence: z.number().min(0.5).max(0.9999).default(0.95),
});
export type RolloutShadow = z.output<typeof rolloutShadowSchema>;
