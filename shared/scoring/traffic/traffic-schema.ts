/**
 * How requests that name no version are spread over the versions of a module, and which version gets
 * copies of them. Given by the host's owner, at start and while running.
 */
import * as z from 'zod';
import { comparisonSchema } from '#shared/protocol/comparison.js';

const versionSchema = z.string().regex(/^[1-9]\d{0,9}$/, 'a version is an integer from 1');

/** Where a shadow answers that is not among this host's modules: its own process, so that its end is not ours. */
const shadowDoorSchema = z.strictObject({
  /** Unix socket. */
  socket: z.string().min(1).max(107),
  /** Who answers there: the module's script, or a host with its one model. */
  by: z.enum(['script', 'model']),
  /** Of its image. */
  digest: z.string().min(1).max(128),
  /** Under which its numbers are told. */
  tag: z.string().min(1).max(64).optional(),
});
export type ShadowDoor = z.infer<typeof shadowDoorSchema>;

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
  /** Absent: the version is one of this host's. */
  at: shadowDoorSchema.optional(),
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
    ({ weights, shadow }) =>
      shadow === undefined || shadow.at !== undefined || (weights[String(shadow.version)] ?? 0) === 0,
    'the shadow version must not answer live requests too: give it no weight',
  );
export type ModuleTraffic = z.infer<typeof moduleTrafficSchema>;

/** By name of the module. */
export const hostTrafficSchema = z.record(z.string().min(1).max(256), moduleTrafficSchema);
/** As its owner writes it. */
export type HostTraffic = z.input<typeof hostTrafficSchema>;
