/**
 * How requests that name no version are spread over the versions of a module, and which version gets
 * copies of them. Given by the host's owner, at start and while running.
 */
import * as z from 'zod';

const versionSchema = z.string().regex(/^[1-9]\d{0,9}$/, 'a version is an integer from 1');

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

const comparisonSchema = z.discriminatedUnion('kind', [
  /** Of all outputs. */
  toleranceRule,
  /** Of the one output of floats, or the one that is named. */
  z.strictObject({ kind: z.literal('top-1'), output: z.string().min(1).max(256).optional() }),
  /**
   * A rule for each output. Rules, not code: what compares runs on the thread that speaks HTTP, where no
   * user's code may.
   */
  z.strictObject({
    kind: z.literal('custom'),
    outputs: z.record(z.string().min(1).max(256), outputRuleSchema),
    /** For outputs that are not named. */
    others: outputRuleSchema.prefault({ kind: 'tolerance' }),
  }),
]);
export type Comparison = z.infer<typeof comparisonSchema>;

const shadowSchema = z.strictObject({
  version: z.int().min(1),
  /** Share of live requests that are copied, 0 to 1. */
  rate: z.number().min(0).max(1),
  compare: comparisonSchema.prefault({ kind: 'tolerance' }),
  /** Copies under way at once. */
  concurrency: z.int().min(1).max(64).default(1),
  /** Copies that wait at most, with what they are compared to; more are dropped and counted. */
  maxWaiting: z.int().min(1).max(10_000).default(64),
  maxWaitingBytes: z
    .int()
    .min(1024)
    .max(1024 ** 3)
    .default(32 * 1024 ** 2),
});
export type ShadowRule = z.infer<typeof shadowSchema>;

const moduleTrafficSchema = z
  .strictObject({
    /** Shares by version: 9 and 1 are the same as 90 and 10. */
    weights: z
      .record(versionSchema, z.number().min(0).max(1_000_000))
      .refine((weights) => Object.values(weights).some((weight) => weight > 0), 'one weight at least must be above 0'),
    shadow: shadowSchema.optional(),
  })
  .refine(
    ({ weights, shadow }) => shadow === undefined || (weights[String(shadow.version)] ?? 0) === 0,
    'the shadow version must not answer live requests too: give it no weight',
  );
export type ModuleTraffic = z.infer<typeof moduleTrafficSchema>;

/** By name of the module. */
export const hostTrafficSchema = z.record(z.string().min(1).max(256), moduleTrafficSchema);
/** As its owner writes it. */
export type HostTraffic = z.input<typeof hostTrafficSchema>;
