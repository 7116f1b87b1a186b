/** Direct commands: signed by the director, answered once, by a deadline. */
import * as z from 'zod';
import { instantSchema, nameSchema, problemSchema, schemaVersion } from './primitives.js';

/** Arguments and results of every operation; adding one here asks for its executor on the device. */
export const operations = {
  ping: {
    arguments: z.strictObject({}),
    result: z.object({ agentVersion: z.string(), uptimeSeconds: z.number() }),
  },
  /** Scores one Open Inference Protocol V2 request, or a script's own JSON, on the device. */
  score: {
    arguments: z.strictObject({ module: nameSchema, input: z.json() }),
    result: z.object({ status: z.int(), headers: z.record(z.string(), z.string()), output: z.json() }),
  },
  logs: {
    arguments: z.strictObject({ module: nameSchema.optional(), lines: z.int().min(1).max(1000).default(100) }),
    result: z.object({ lines: z.array(z.string()) }),
  },
  restart: {
    arguments: z.strictObject({ module: nameSchema }),
    result: z.object({}),
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
