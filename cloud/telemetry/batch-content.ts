/** From what a device sent to what it says: first as much as is needed to know whether it is new, then all of it. Pure. */
import * as z from 'zod';
import { checkMessage, decodeJson } from '#shared/protocol/decode.js';
import { counterSchema } from '#shared/protocol/primitives.js';
import {
  dropReasonSchema,
  type EventBatch,
  eventBatchSchema,
  type StreamKind,
  type TelemetryBatch,
  telemetryBatchSchema,
} from '#shared/protocol/stream.js';
import type { ReceivedBatch } from './telemetry-port.js';

export { judgeSequence } from '#shared/protocol/stream.js';

/** The least that must be readable to know what a batch is. */
const headSchema = z.object({
  bootId: counterSchema,
  sequence: counterSchema.min(1),
  droppedFrom: counterSchema.min(1).optional(),
  dropReason: dropReasonSchema.optional().catch(undefined),
});
export type BatchHead = z.infer<typeof headSchema>;

export interface ReadBatch {
  readonly received: ReceivedBatch;
  /** Undefined: it cannot be told what it is. */
  readonly head: BatchHead | undefined;
  readonly json: unknown;
}

export function readBatch(received: ReceivedBatch): ReadBatch {
  const json = decodeJson(received.payload);
  if (!json.ok) return { received, head: undefined, json: undefined };
  const head = headSchema.safeParse(json.value);
  return { received, head: head.success ? head.data : undefined, json: json.value };
}

export type Content =
  | { readonly kind: 'telemetry'; readonly batch: TelemetryBatch }
  | { readonly kind: 'events'; readonly batch: EventBatch };

/** Undefined when it is malformed. */
export function contentOf(kind: StreamKind, json: unknown): Content | undefined {
  if (kind === 'telemetry') {
    const decoded = checkMessage(telemetryBatchSchema, json);
    return decoded.ok ? { kind, batch: decoded.value } : undefined;
  }
  const decoded = checkMessage(eventBatchSchema, json);
  return decoded.ok ? { kind, batch: decoded.value } : undefined;
}
