/**
 * Data collection: a sample of what models are asked and answer, for the workspace's storage. What is to be left out is
 * left out where the data is born. Default: nothing is collected.
 */
import * as z from 'zod';
import { digestSchema, instantSchema, schemaVersion } from './primitives.js';

/** Azure ML's names: the last part but the hour of where a line lies. */
export const collections = ['model_inputs', 'model_outputs'] as const;
export type Collection = (typeof collections)[number];

/** Who operates a module or a deployment says it; nothing of it needs another process. */
export const collectRuleSchema = z.strictObject({
  /** Share of answered requests, 0 to 1. */
  rate: z.number().min(0).max(1),
  collections: z
    .array(z.enum(collections))
    .min(1)
    .max(collections.length)
    .default([...collections]),
  /** Names of tensors, and of fields of JSON at any depth, whose values are left out; beside those that module.yaml names. */
  redact: z.array(z.string().min(1).max(256)).max(256).default([]),
  /** What may wait to be handed over; the oldest goes first. */
  maxBytes: z
    .int()
    .min(64 * 1024)
    .max(16 * 1024 ** 3)
    .default(64 * 1024 ** 2),
});
export type CollectRule = z.infer<typeof collectRuleSchema>;

const idText = z.string().min(1).max(128);

/** One side of one request, as a CloudEvent with the fields of Azure ML's data collector. Whose it is, its reader knows. */
export const collectedEventSchema = z.object({
  specversion: z.literal('1.0'),
  id: idText,
  type: z.enum(['azureml.inference.inputs', 'azureml.inference.outputs']),
  datacontenttype: z.literal('application/json'),
  time: instantSchema,
  data: z.unknown().refine((data) => data !== undefined, 'is missing'),
  /** The same for both sides of a request. */
  correlationid: idText,
  xrequestid: idText,
  modelversion: z.string().regex(/^\d{1,10}$/, 'is no version'),
  modeldigest: digestSchema,
  /** `tensors`: a record each; `json`: a body; `bytes`: size and digest of one. */
  collectdatatype: z.string().max(64),
  agent: z.string().max(64),
  contentrange: z.string().max(64),
});
export type CollectedEvent = z.infer<typeof collectedEventSchema>;

/** What a scoring host collects, in a file beside what it has collected: `rules.json`. */
export const collectRulesSchema = z.strictObject({
  schema: schemaVersion,
  /** By name of the module. */
  modules: z.record(
    z.string().max(63),
    collectRuleSchema.omit({ maxBytes: true }).extend({
      /** Whose data it is: /workspaces/w/onlineEndpoints/e/deployments/d. */
      source: z.string().max(512),
      /** A larger line keeps its head, and sizes in place of values. */
      maxLineBytes: z.int().min(1024),
      /** A piece is handed over when it has so many. */
      maxPieceBytes: z.int().min(1024),
      /** And when it has been open for so long, however small it is. */
      maxOpenMs: z.int().min(1).max(3_600_000).default(5_000),
    }),
  ),
});
export type CollectRules = z.infer<typeof collectRulesSchema>;
export type ModuleCollectRule = CollectRules['modules'][string];
