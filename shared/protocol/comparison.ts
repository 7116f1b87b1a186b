/**
 * When two answers to one request count as the same. Rules, not code: what compares runs where requests are
 * accepted, and no user's code may.
 */
import * as z from 'zod';

const toleranceRule = z.strictObject({
  kind: z.literal('tolerance'),
  absolute: z.number().min(0).default(1e-4),
  relative: z.number().min(0).default(1e-3),
});

const outputRuleSchema = z.discriminatedUnion('kind', [
  /** Floats within the tolerance; integers, booleans and strings equal. */
  toleranceRule,
  /** The same place of the largest value, row by row of the last dimension. */
  z.strictObject({ kind: z.literal('top-1') }),
  /** The same direction: for embeddings. */
  z.strictObject({ kind: z.literal('cosine'), atLeast: z.number().min(-1).max(1).default(0.99) }),
  z.strictObject({ kind: z.literal('ignore') }),
]);
export type OutputRule = z.infer<typeof outputRuleSchema>;

export const comparisonSchema = z.discriminatedUnion('kind', [
  /** Of all outputs. */
  toleranceRule,
  /** Of the one output of floats, or the one that is named. */
  z.strictObject({ kind: z.literal('top-1'), output: z.string().min(1).max(256).optional() }),
  /** A rule for each output. */
  z.strictObject({
    kind: z.literal('custom'),
    outputs: z.record(z.string().min(1).max(256), outputRuleSchema),
    /** For outputs that are not named. */
    others: outputRuleSchema.prefault({ kind: 'tolerance' }),
  }),
]);
export type Comparison = z.infer<typeof comparisonSchema>;
