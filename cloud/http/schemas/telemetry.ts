import * as z from 'zod';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { sourceSchema } from '#cloud/services/service-source.js';
import { systemMetricsSchema } from '#shared/protocol/stream.js';

const maxSinceSeconds = 366 * 86_400;

export const telemetryQuery = z.object({
  /** How far back from now, by the control plane's clock. */
  sinceSeconds: z.coerce.number().int().min(1).max(maxSinceSeconds).default(600),
  module: nameSchema.optional(),
});

const figure = z.number().nullable();
const quantiles = z.object({ p50: figure, p90: figure, p99: figure, max: figure, mean: figure });

const tensorBody = z.object({
  side: z.enum(['input', 'output']),
  name: z.string(),
  elements: z.int().describe('that were looked at'),
  missing: z.int(),
  numbers: z
    .object({
      ...{ nan: z.int(), infinite: z.int(), min: figure, max: figure, mean: figure },
      ...{ p10: figure, p50: figure, p90: figure },
    })
    .optional(),
  categories: z
    .array(z.object({ value: z.string(), count: z.int() }))
    .optional()
    .describe('the 16 most frequent'),
});

const count = z.int();
const shadowBody = z.object({
  ...{ digest: z.string(), version: z.int(), compared: count, agreed: count, uncompared: count },
  tag: z.string().optional().describe('under which it is told; of a mirror mirror-<deployment>'),
  liveErrors: count.describe('copied requests that the version that answered failed on'),
  shadowErrors: count.describe('copied requests that only the shadow failed on'),
  dropped: count.describe('requests chosen to be copied for which there was no room'),
  largestDifference: z.number().optional(),
  liveMs: quantiles.describe('of the same requests'),
  shadowMs: quantiles,
});

/** Everything of one module version on one device over the asked span, sketches merged. */
export const moduleTelemetryBody = z.object({
  module: nameSchema,
  version: z.int(),
  digest: z.string(),
  provider: z.string().optional(),
  requests: z.int(),
  errors: z.record(z.string(), z.int()),
  latencyMs: quantiles,
  queueMs: quantiles.optional().describe('of requests, before their run'),
  computeMs: quantiles.optional().describe('of runs of models, which may serve several requests'),
  tensors: z.array(tensorBody).optional().describe('what the module asks to be summarised'),
  shadows: z.array(shadowBody).optional().describe('versions that got copies of its requests'),
});

export const telemetryBody = z.object({
  device: z.string().describe('its name, or endpoint/deployment of a web service'),
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

export const seriesQuery = z.object({
  metric: z.string().min(1).max(600).describe('for example requests, latency.p99, output.label.share.3, cpu.max'),
  sinceSeconds: z.coerce.number().int().min(60).max(maxSinceSeconds).default(3600),
  points: z.coerce.number().int().min(1).max(500).default(60).describe('at most; a step is a minute at least'),
  by: z.enum(['device', 'module', 'version']).optional().describe('a line for each; without it one for all'),
  device: sourceSchema.optional().describe('or endpoint/deployment of a web service'),
  endpoint: nameSchema.optional().describe('all deployments of this one'),
  module: nameSchema.optional(),
  version: z.coerce.number().int().min(1).optional(),
});

export const seriesBody = z.object({
  metric: z.string(),
  unit: z.enum(['count', 'share', 'ms', 'bytes', 'celsius', 'value']),
  from: instantSchema,
  to: instantSchema,
  stepSeconds: z.int(),
  series: z.array(
    z.object({
      name: z.string().describe('the device, the module, or module:version; all where there is one line'),
      samples: z.int().describe('requests, runs, elements or readings that it rests on'),
      values: z.array(z.number().nullable()).describe('one a step from `from` on; null where nothing was told'),
    }),
  ),
  leftOff: z.int().describe('lines that were too many'),
});
export type SeriesBody = z.infer<typeof seriesBody>;
