/**
 * Telemetry and events: batches that are spooled on the device's disk with a (bootId, sequence) and
 * are in the store once. A batch gets its sequence when spooled and is never cut anew. The cloud
 * takes sequences of a boot in order and acknowledges up to where it has stored.
 */
import * as z from 'zod';
import { collectedEventSchema, collections } from './collect.js';
import { counterSchema, digestSchema, instantSchema, nameSchema, schemaVersion } from './primitives.js';
import { routesMetricsSchema } from './route-metrics.js';
import { shadowMetricsSchema } from './shadow.js';
import { encodedSketchSchema } from './sketch.js';
import { encodedSummarySchema } from './summary.js';

export const streamKinds = ['telemetry', 'events'] as const;
export type StreamKind = (typeof streamKinds)[number];

/** Beside them, for control planes that ask for it: what was collected. */
export const spooledKinds = [...streamKinds, 'data'] as const;
export type SpooledKind = (typeof spooledKinds)[number];

/** Why a device let batches go: no room, too old, or no longer readable. */
export const dropReasonSchema = z.enum(['room', 'age', 'damage']);
export type DropReason = z.infer<typeof dropReasonSchema>;

const batchHead = {
  schema: schemaVersion,
  bootId: counterSchema,
  sequence: counterSchema.min(1),
  /** Batches of this boot and kind from this one to `sequence - 1` will never come: the device dropped them. */
  droppedFrom: counterSchema.min(1).optional(),
  /** This one, which is empty, stands for dropped ones too: `droppedFrom` to `sequence` are gone, for this reason. */
  dropReason: dropReasonSchema.optional().catch(undefined),
  at: instantSchema,
};

/** Where the time of answered requests went, in milliseconds. */
export const stageLatencySchema = z.object({
  /** From the last byte of a request to its run. */
  queueMs: encodedSketchSchema,
  /** One value a run of a model, which may serve several requests: reading, running, writing. */
  computeMs: encodedSketchSchema,
});
export type StageLatency = z.infer<typeof stageLatencySchema>;

/** By the tensor's name; of a module with several models `model/tensor`. */
const summariesSchema = z.record(z.string().max(512), encodedSummarySchema);

/** What the module's manifest asks for, of requests that were looked at. */
export const tensorSummariesSchema = z.object({
  samples: counterSchema,
  inputs: summariesSchema,
  outputs: summariesSchema,
});
export type TensorSummaries = z.infer<typeof tensorSummariesSchema>;

/** What one module did in one interval. Counts are deltas. */
export const moduleMetricsSchema = z.object({
  digest: digestSchema,
  version: z.int().min(1),
  provider: z.string().max(64).optional(),
  requests: counterSchema,
  /** Failures by error code. */
  errors: z.record(z.string().max(64), counterSchema),
  /** Latency of answered requests in milliseconds, from the last byte received to the first sent. */
  latencyMs: encodedSketchSchema,
  /** What its routes did; absent: nothing, or an agent that has none. */
  routes: routesMetricsSchema.optional(),
  stages: stageLatencySchema.optional(),
  tensors: tensorSummariesSchema.optional(),
  /** Of the version that gets copies of this one's requests. */
  shadow: shadowMetricsSchema.optional(),
});
export type ModuleMetrics = z.infer<typeof moduleMetricsSchema>;

/** What a GPU's driver tells; the rest is absent. */
export const gpuMetricsSchema = z.object({
  name: z.string().max(128),
  /** Busy share in [0, 1]. */
  busy: z.number().min(0).max(1).optional(),
  memoryUsedBytes: z.number().min(0).optional(),
  memoryTotalBytes: z.number().min(0).optional(),
});
export type GpuMetrics = z.infer<typeof gpuMetricsSchema>;

/** More are not reported. */
export const maxGpus = 32;

export const systemMetricsSchema = z.object({
  /** Busy share of all cores in [0, 1]. */
  cpu: z.number().min(0).max(1),
  memoryUsedBytes: z.number(),
  memoryTotalBytes: z.number(),
  diskUsedBytes: z.number(),
  diskTotalBytes: z.number(),
  /** Resident memory of the agent process and of all scoring hosts. */
  agentRssBytes: z.number(),
  hostsRssBytes: z.number(),
  /** Of the hottest processor sensor, in degrees Celsius; absent where none can be read. */
  temperatureCelsius: z.number().min(-100).max(300).optional(),
  /** Absent where none can be read. */
  gpus: z.array(gpuMetricsSchema).max(maxGpus).optional(),
});
export type SystemMetrics = z.infer<typeof systemMetricsSchema>;

export const telemetryBatchSchema = z.object({
  ...batchHead,
  /** The interval's length by the monotonic clock. */
  intervalMs: z.number().min(0),
  generation: counterSchema,
  modules: z.record(nameSchema, moduleMetricsSchema),
  system: systemMetricsSchema.optional(),
});
export type TelemetryBatch = z.infer<typeof telemetryBatchSchema>;

export const eventSchema = z.object({
  at: instantSchema,
  level: z.enum(['info', 'warn', 'error']),
  /** For example module.activated, module.rejected, desired.refused, module.crashed. */
  type: z.string().max(64),
  module: nameSchema.optional(),
  message: z.string().max(2048),
  details: z.record(z.string(), z.unknown()).optional(),
});
export type DeviceEvent = z.infer<typeof eventSchema>;

export const eventBatchSchema = z.object({ ...batchHead, events: z.array(eventSchema).max(200) });
export type EventBatch = z.infer<typeof eventBatchSchema>;

/** What was collected of one side of one module. Asked of devices only whose `capabilities.features` name `collect`. */
export const dataBatchSchema = z.object({
  ...batchHead,
  module: nameSchema,
  collection: z.enum(collections),
  events: z.array(collectedEventSchema).max(2_000),
});
export type DataBatch = z.infer<typeof dataBatchSchema>;

/** The lines of one batch together; with its head a batch has room in a message. */
export const maxDataBatchBytes = 96 * 1024;

/** What the cloud has durably stored. */
export const ackSchema = z.object({
  schema: schemaVersion,
  kind: z.enum([...spooledKinds, 'reported']),
  bootId: counterSchema,
  upTo: counterSchema,
});
export type Ack = z.infer<typeof ackSchema>;

export type SequenceJudgement = 'store' | 'duplicate' | 'gap';

/** Is this batch the next one after the high-water mark `upTo` of its boot and kind? */
export function judgeSequence(
  batch: { readonly sequence: number; readonly droppedFrom?: number | undefined },
  upTo: number,
): SequenceJudgement {
  if (batch.sequence <= upTo) return 'duplicate';
  const firstCovered = Math.min(batch.droppedFrom ?? batch.sequence, batch.sequence);
  return firstCovered <= upTo + 1 ? 'store' : 'gap';
}
