/** The parts of `module.yaml` that say how a module's models are run. Every part has defaults that work. */
import * as z from 'zod';
import { telemetrySchema } from './telemetry-options.js';

/** Requests that wait together are run together, where the model allows it. */
export const batchingSchema = z.strictObject({
  /**
   * `auto`: where the first dimension of all inputs and outputs is free, and rows run together were seen
   * to give what they give alone. `on`: without that proof. `off`: never.
   */
  mode: z.enum(['auto', 'on', 'off']).default('auto'),
  /** Rows in one run at most. */
  maxRows: z.int().min(1).max(4096).default(32),
  /** How long a run may be put off for more rows, where what was learned says that it pays; 0: never. */
  maxWaitMs: z.number().min(0).max(1000).default(0),
});

export const queueSchema = z.strictObject({
  /** What may wait before requests are turned away; rows as the length of a body tells them. */
  maxRows: z.int().min(1).max(1_000_000).default(4096),
  maxBytes: z
    .int()
    .min(1024)
    .max(4 * 1024 ** 3)
    .default(256 * 1024 ** 2),
  /** For requests that name no time of their own; 0: they wait for ever. */
  timeoutMs: z.int().min(0).max(3_600_000).default(0),
});

export const sessionSchema = z.strictObject({
  /** Threads of one run. More than 1 pays only for large models on idle cores. */
  intraOpThreads: z.int().min(1).max(64).default(1),
  interOpThreads: z.int().min(1).max(64).default(1),
  optimization: z.enum(['disabled', 'basic', 'extended', 'all']).default('all'),
  execution: z.enum(['sequential', 'parallel']).default('sequential'),
  memoryPattern: z.boolean().default(true),
  /** A run that takes longer is stuck: the process that runs it is replaced. */
  maxRunMs: z.int().min(1000).max(3_600_000).default(60_000),
  /** Keeps memory between runs: faster, and never smaller than the largest run was. */
  arena: z.boolean().default(true),
});

export const cacheSchema = z.strictObject({
  /** Answers kept for equal requests. */
  maxBytes: z
    .int()
    .min(1024)
    .max(1024 ** 3),
});

export const captureSchema = z.strictObject({
  /** Share of requests kept, 0 to 1. */
  rate: z.number().min(0).max(1),
  /** Oldest files go first. */
  maxBytes: z
    .int()
    .min(64 * 1024)
    .max(16 * 1024 ** 3)
    .default(64 * 1024 ** 2),
  /** Names of inputs and outputs whose values are left out. */
  redact: z.array(z.string().min(1).max(256)).max(256).default([]),
});

export const scriptSchema = z.strictObject({
  /** How long a script may take to answer, or to begin with its events where it streams. */
  timeoutMs: z.int().min(1).max(86_400_000).default(3_600_000),
  /** How long it may compute without a break; a script that does so longer is hung, and started anew. */
  maxBusyMs: z.int().min(500).max(86_400_000).default(60_000),
});

export const warmUpSchema = z.strictObject({
  /** Runs on made-up inputs before the module takes requests. */
  runs: z.int().min(0).max(1000).default(1),
});

export const scoringOptionsSchema = z.strictObject({
  batching: batchingSchema.prefault({}),
  queue: queueSchema.prefault({}),
  session: sessionSchema.prefault({}),
  warmUp: warmUpSchema.prefault({}),
  script: scriptSchema.prefault({}),
  cache: cacheSchema.optional(),
  capture: captureSchema.optional(),
  telemetry: telemetrySchema.optional(),
});

/** As configured, with the defaults filled in. */
export type ScoringOptions = z.infer<typeof scoringOptionsSchema>;

export const defaultScoringOptions: ScoringOptions = scoringOptionsSchema.parse({});
