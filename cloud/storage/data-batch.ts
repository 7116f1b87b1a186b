/**
 * From what a device sent to lines for the storage. Whose they are says the topic, which the broker has checked, and
 * never the device: its names for itself are not even read. Pure.
 */
import * as z from 'zod';
import { checkMessage, decodeJson } from '#shared/protocol/decode.js';
import { counterSchema } from '#shared/protocol/primitives.js';
import { type DataBatch, dataBatchSchema } from '#shared/protocol/stream.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';

/** The least that must be readable to know what a batch is. */
const headSchema = z.object({
  bootId: counterSchema,
  sequence: counterSchema.min(1),
  droppedFrom: counterSchema.min(1).optional(),
});
export type DataHead = z.infer<typeof headSchema>;

/** Of one event. */
export const maxLineBytes = 64 * 1024;

/** @returns undefined: it cannot be told what it is. `batch` undefined: it is malformed, and that is for good */
export function readDataBatch(
  payload: Uint8Array,
): { readonly head: DataHead; readonly batch: DataBatch | undefined } | undefined {
  const json = decodeJson(payload);
  if (!json.ok) return undefined;
  const head = headSchema.safeParse(json.value);
  if (!head.success) return undefined;
  const batch = checkMessage(dataBatchSchema, json.value);
  return { head: head.data, batch: batch.ok ? batch.value : undefined };
}

/** Of events that are too long nothing is kept. */
export function linesOf({ workspace, device }: DeviceAddress, { module, events }: DataBatch): Buffer {
  const source = `/workspaces/${workspace}/devices/${device}/modules/${module}`;
  const lines = events.map(({ specversion, id, ...event }) => {
    const subject = `/models/${module}/versions/${event.modelversion}@${event.modeldigest}`;
    return `${JSON.stringify({ specversion, id, source, subject, ...event })}\n`;
  });
  return Buffer.from(lines.filter((line) => Buffer.byteLength(line) <= maxLineBytes).join(''));
}
