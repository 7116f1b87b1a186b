/**
 * Block transfer: a device pulls the bytes of images in chunks over MQTT.
 *
 * A request names its source and chunk indexes. Two sources: `blob`, cut every 256 KiB, for the small
 * files that say what the rest is (manifest, chunk map, signature), checked by the digest of the
 * whole; and `chunks`, the chunks that a chunk map lists, each with its own SHA-256.
 *
 * Flow: at most 4 MiB unacknowledged per device. `session` names one run of counting; `acknowledged`
 * is how many payload bytes of that session have arrived. Channels are QoS 0, so after a loss the
 * device starts a new session, which sets both counts to zero.
 */
import * as z from 'zod';
import { err, ok, type Result } from '#shared/kernel/result.js';
import { digestSchema, schemaVersion } from './primitives.js';

export const maxChunkBytes = 256 * 1024;
export const maxUnacknowledgedBytes = 4 * 1024 * 1024;
/** Blobs larger than this are served by chunk map only. */
export const maxWholeBlobBytes = 16 * 1024 * 1024;

export const blockSourceSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('blob'), digest: digestSchema }),
  /** `map` is the digest of the chunk map blob; indexes run over all its chunks in order. */
  z.object({ kind: z.literal('chunks'), map: digestSchema }),
]);
export type BlockSource = z.infer<typeof blockSourceSchema>;

export const blocksRequestSchema = z.object({
  schema: schemaVersion,
  /** Echoed in every answer; the device tells its requests apart by it. */
  request: z.int().min(0).max(0xffff_ffff),
  session: z.int().min(0).max(0xffff_ffff),
  acknowledged: z.int().min(0),
  source: blockSourceSchema,
  indexes: z.array(z.int().min(0).max(0xffff_ffff)).min(1).max(256),
});
export type BlocksRequest = z.infer<typeof blocksRequestSchema>;

export const blockStatus = {
  ok: 0,
  /** Not in this device's desired or prefetch set, or not in the store: asking again does not help. */
  notFound: 1,
  /** No such chunk index in the source. */
  outOfRange: 2,
  /** The bytes in the store no longer have their digest. */
  corrupt: 3,
  /** Over the unacknowledged limit: ask again when more has arrived. */
  busy: 4,
} as const;
export type BlockStatus = keyof typeof blockStatus;
const statusByNumber = new Map<number, BlockStatus>(
  Object.entries(blockStatus).map(([name, number]) => [number, name as BlockStatus]),
);

export interface BlockFrame {
  readonly request: number;
  readonly status: BlockStatus;
  readonly index: number;
  /** Where the bytes stand in their blob. */
  readonly offset: number;
  /** Size of the whole blob for `blob` sources, so that the first answer tells how many to ask; else 0. */
  readonly total: number;
  readonly bytes: Uint8Array;
}

const frameVersion = 1;
/** version u8, status u8, reserved u16, request u32, index u32, offset u64, total u64, length u32 */
export const frameHeaderBytes = 32;
export const maxFrameBytes = frameHeaderBytes + maxChunkBytes;

export function encodeFrame(frame: BlockFrame): Uint8Array {
  const out = new Uint8Array(frameHeaderBytes + frame.bytes.length);
  out.set(frame.bytes, frameHeaderBytes);
  writeFrameHeader(out, frame);
  return out;
}

/** Completes a frame whose bytes stand in `out` already, from `frameHeaderBytes` to its end: read there, not copied. */
export function writeFrameHeader(out: Uint8Array, frame: Omit<BlockFrame, 'bytes'>): void {
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
  view.setUint8(0, frameVersion);
  view.setUint8(1, blockStatus[frame.status]);
  view.setUint16(2, 0);
  view.setUint32(4, frame.request);
  view.setUint32(8, frame.index);
  view.setBigUint64(12, BigInt(frame.offset));
  view.setBigUint64(20, BigInt(frame.total));
  view.setUint32(28, out.length - frameHeaderBytes);
}

/** The bytes of the result are a view on the input. */
export function decodeFrame(input: Uint8Array): Result<BlockFrame, string> {
  if (input.length > maxFrameBytes)
    return err(`frame of ${String(input.length)} bytes, at most ${String(maxFrameBytes)}`);
  if (input.length < frameHeaderBytes)
    return err(`frame of ${String(input.length)} bytes, a header has ${String(frameHeaderBytes)}`);
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  if (view.getUint8(0) !== frameVersion)
    return err(`frame version ${String(view.getUint8(0))}, this reads ${String(frameVersion)}`);
  const status = statusByNumber.get(view.getUint8(1));
  if (status === undefined) return err(`unknown status ${String(view.getUint8(1))}`);
  const length = view.getUint32(28);
  if (length !== input.length - frameHeaderBytes) {
    return err(`length says ${String(length)}, ${String(input.length - frameHeaderBytes)} bytes follow`);
  }
  const offset = view.getBigUint64(12);
  const total = view.getBigUint64(20);
  if (offset > BigInt(Number.MAX_SAFE_INTEGER) || total > BigInt(Number.MAX_SAFE_INTEGER))
    return err('offset beyond 2^53');
  return ok({
    request: view.getUint32(4),
    status,
    index: view.getUint32(8),
    offset: Number(offset),
    total: Number(total),
    bytes: input.subarray(frameHeaderBytes),
  });
}
