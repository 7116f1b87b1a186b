/**
 * What a service host and a replica in a container say to each other: lines of JSON on a Unix socket that the service
 * host opened for this one replica. The connection is the replica's life line, in both directions: who sees it closed
 * knows that the other is gone.
 */
import type { Socket } from 'node:net';
import * as z from 'zod';
import { errorCodes } from '#shared/kernel/errors.js';
import { collectRulesSchema } from '#shared/protocol/collect.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { settingsSchema } from '#shared/protocol/desired.js';
import { digestSchema } from '#shared/protocol/primitives.js';
import { moduleMetricsSchema } from '#shared/protocol/stream.js';

/** In a container, below {@link linkFolder}. */
export const linkSocket = 'link.sock';
export const scoreSocket = 'score.sock';
export const linkFolder = '/flotilla/run';

export const startOrderSchema = z.strictObject({
  id: z.string().min(1).max(64),
  module: z.strictObject({
    name: z.string(),
    version: z.int(),
    digest: digestSchema,
    /** Where it lies in the container, with its `module.yaml`. */
    folder: z.string(),
  }),
  settings: settingsSchema,
  labels: z.record(z.string(), z.string()),
  maxBodyBytes: z.int(),
  /** When it is told to end by a signal. */
  drainMs: z.int(),
});
export type StartOrder = z.infer<typeof startOrderSchema>;

export const toReplicaSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('start'), order: startOrderSchema }),
  /** Asks for what it counted since it was last asked. */
  z.strictObject({ type: z.literal('metrics') }),
  /** What it collects from now on. */
  z.strictObject({ type: z.literal('rules'), rules: collectRulesSchema }),
  /** Its piece is kept. */
  z.strictObject({ type: z.literal('taken'), file: z.string() }),
  z.strictObject({ type: z.literal('drain'), timeoutMs: z.number() }),
]);
export type ToReplica = z.infer<typeof toReplicaSchema>;

const problemSchema = z.object({
  code: z.enum(errorCodes),
  message: z.string().max(16_384),
  details: z.record(z.string(), z.unknown()).optional(),
});

export const fromReplicaSchema = z.discriminatedUnion('type', [
  /** Its score socket lies in the folder; nothing listens on it yet, and no code of a module has run. */
  z.object({ type: z.literal('bound') }),
  /** It answers. */
  z.object({ type: z.literal('ready') }),
  /** What was asked for, or, unasked, the last before it ends: it was drained. Absent where there is nothing to tell. */
  z.object({ type: z.literal('metrics'), metrics: moduleMetricsSchema.optional() }),
  /** Of collected lines; the next one comes when this one was taken. */
  z.object({ type: z.literal('piece'), file: z.string().max(255), lines: z.string() }),
  /** It does not start, or has ended by itself. The last that it says. */
  z.object({ type: z.literal('over'), problem: problemSchema }),
]);
export type FromReplica = z.infer<typeof fromReplicaSchema>;

export const maxLineBytes = 8 * 1024 * 1024;

/** Cuts what comes into lines, none longer than {@link maxLineBytes}. */
export class JsonLines {
  private held: Uint8Array[] = [];
  private size = 0;

  constructor(private readonly maxBytes = maxLineBytes) {}

  /** @throws Error for a line that is too long */
  push(bytes: Uint8Array): Uint8Array[] {
    const lines: Uint8Array[] = [];
    let at = 0;
    for (;;) {
      const end = bytes.indexOf(10, at);
      const piece = bytes.subarray(at, end < 0 ? bytes.length : end);
      this.size += piece.length;
      if (this.size > this.maxBytes) throw new Error(`a line has more than ${String(this.maxBytes)} bytes`);
      this.held.push(piece);
      if (end < 0) return lines;
      lines.push(Buffer.concat(this.held));
      this.held = [];
      this.size = 0;
      at = end + 1;
    }
  }
}

/** Reads messages until the connection ends; what is no message ends it. */
export function readMessages<S extends z.ZodType>(
  socket: Socket,
  schema: S,
  take: (message: z.output<S>) => void,
): void {
  const lines = new JsonLines();
  socket.on('data', (bytes: Buffer) => {
    try {
      for (const line of lines.push(bytes)) {
        const decoded = decodeMessage(schema, line, maxLineBytes);
        if (!decoded.ok) throw new Error(`a message is not understood: ${decoded.error.message}`);
        take(decoded.value);
      }
    } catch (error) {
      socket.destroy(error instanceof Error ? error : new Error('a message is not understood'));
    }
  });
}

export function sendMessage(socket: Socket, message: ToReplica | FromReplica): void {
  if (!socket.destroyed && socket.writable) socket.write(`${JSON.stringify(message)}\n`);
}
