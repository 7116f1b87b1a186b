import * as z from 'zod';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { systemMetricsSchema } from '#shared/protocol/stream.js';

export const telemetryQuery = z.object({
  /** How far back from now, by the control plane's clock. */
  sinceSeconds: z.coerce
    .number()
    .int()
    .min(1)
    .max(366 * 86_400)
    .default(600),
  module: nameSchema.optional(),
});

/** Everything of one module version on one device over the asked span, sketches merged. */
export const moduleTelemetryBody = z.object({
  module: nameSchema,
  version: z.int(),
  digest: z.string(),
  provider: z.string().optional(),
  requests: z.int(),
  errors: z.record(z.string(), z.int()),
  latencyMs: z.object({
    p50: z.number().nullable(),
    p90: z.number().nullable(),
    p99: z.number().nullable(),
    max: z.number().nullable(),
    mean: z.number().nullable(),
  }),
});

export const telemetryBody = z.object({
  device: nameSchema,
  from: instantSchema,
  to: instantSchema,
  batches: z.int(),
  lastAt: instantSchema.optional(),
  dropped: z.int().describe('batches of telemetry that the device let go, over all time'),
  gaps: z
    .array(
      z.object({
        kind: z.string(),
        bootId: z.int(),
        from: z.int(),
        upTo: z.int(),
        reason: z.string().optional().describe('room, age or damage; absent when the device gave none'),
        receivedAt: instantSchema,
      }),
    )
    .describe('the latest 100 runs of batches that the device let go'),
  modules: z.array(moduleTelemetryBody),
  system: systemMetricsSchema.optional().describe('the latest in the span'),
});
export type TelemetryBody = z.infer<typeof telemetryBody>;
