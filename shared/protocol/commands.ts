/** Direct commands: signed by the director, answered once, by a deadline. */
import * as z from 'zod';
import { counterSchema, digestSchema, instantSchema, nameSchema, problemSchema, schemaVersion } from './primitives.js';

/** Bytes of a bundle in one answer, before base64. */
export const bundlePieceBytes = 60 * 1024;

/**
 * Arguments and results of every operation; adding one here asks for its executor on the device. One that only
 * `reads` may run twice, so that nothing of it is kept on the device's disk.
 */
export const operations = {
  ping: {
    reads: true,
    arguments: z.strictObject({}),
    result: z.object({ agentVersion: z.string(), uptimeSeconds: z.number() }),
  },
  /** Scores one Open Inference Protocol V2 request, or a script's own JSON, on the device. */
  score: {
    reads: false,
    arguments: z.strictObject({ module: nameSchema, input: z.json() }),
    result: z.object({ status: z.int(), headers: z.record(z.string(), z.string()), output: z.json() }),
  },
  /** The last lines; or those after a place that an earlier answer named, for which it may wait. */
  logs: {
    reads: true,
    arguments: z.strictObject({
      module: nameSchema.optional(),
      lines: z.int().min(1).max(1000).default(100),
      after: z.string().max(64).optional(),
      waitSeconds: z.int().min(0).max(60).optional(),
    }),
    result: z.object({
      lines: z.array(z.string()),
      /** Where the next answer goes on. */
      next: z.string().max(64).optional(),
      /** Lines after that place that are not there any more. */
      missed: counterSchema.optional(),
    }),
  },
  restart: {
    reads: false,
    arguments: z.strictObject({ module: nameSchema }),
    result: z.object({}),
  },
  /** Asks for its desired and trust documents anew and reports the whole; answers with the generation it has now. */
  refresh: {
    reads: true,
    arguments: z.strictObject({}),
    result: z.object({ generation: counterSchema }),
  },
  /** What `flotilla-agent explain` shows. */
  explain: {
    reads: true,
    arguments: z.strictObject({}),
    result: z.object({ explanation: z.json() }),
  },
  /** What `flotilla-agent check` finds. */
  check: {
    reads: true,
    arguments: z.strictObject({}),
    result: z.object({
      findings: z.array(
        z.object({
          check: z.string().max(64),
          outcome: z.enum(['ok', 'warning', 'error', 'skipped']),
          message: z.string().max(4096),
          remedy: z.string().max(4096).optional(),
        }),
      ),
    }),
  },
  /** Makes a support bundle, which is kept until the next one is made. */
  bundle: {
    reads: true,
    arguments: z.strictObject({}),
    result: z.object({ digest: digestSchema, size: counterSchema }),
  },
  /** A piece of the bundle of that digest, in base64: {@link bundlePieceBytes}, or what is left. */
  'bundle-read': {
    reads: true,
    arguments: z.strictObject({ digest: digestSchema, offset: counterSchema }),
    result: z.object({ bytes: z.base64() }),
  },
} as const;

export type Operation = keyof typeof operations;
export const operationNames = Object.keys(operations) as Operation[];
export type OperationArguments<O extends Operation> = z.infer<(typeof operations)[O]['arguments']>;
export type OperationResult<O extends Operation> = z.infer<(typeof operations)[O]['result']>;

const head = {
  schema: schemaVersion,
  id: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  workspace: nameSchema,
  device: nameSchema,
  issuedAt: instantSchema,
  /** A device neither starts nor answers a command after this. */
  deadline: instantSchema,
};

/** The payload of the director's envelope on `commands/{id}/request`. */
export const commandRequestSchema = z.discriminatedUnion('operation', [
  z.strictObject({ ...head, operation: z.literal('ping'), arguments: operations.ping.arguments }),
  z.strictObject({ ...head, operation: z.literal('score'), arguments: operations.score.arguments }),
  z.strictObject({ ...head, operation: z.literal('logs'), arguments: operations.logs.arguments }),
  z.strictObject({ ...head, operation: z.literal('restart'), arguments: operations.restart.arguments }),
  z.strictObject({ ...head, operation: z.literal('refresh'), arguments: operations.refresh.arguments }),
  z.strictObject({ ...head, operation: z.literal('explain'), arguments: operations.explain.arguments }),
  z.strictObject({ ...head, operation: z.literal('check'), arguments: operations.check.arguments }),
  z.strictObject({ ...head, operation: z.literal('bundle'), arguments: operations.bundle.arguments }),
  z.strictObject({ ...head, operation: z.literal('bundle-read'), arguments: operations['bundle-read'].arguments }),
]);
export type CommandRequest = z.infer<typeof commandRequestSchema>;

export const commandResponseSchema = z.object({
  schema: schemaVersion,
  id: head.id,
  outcome: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('done'), result: z.json() }),
    z.object({ kind: z.literal('failed'), problem: problemSchema }),
  ]),
});
export type CommandResponse = z.infer<typeof commandResponseSchema>;
