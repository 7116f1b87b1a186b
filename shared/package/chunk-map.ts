/**
 * Chunks are what a device fetches and checks one by one. They are cut where tensors begin and end,
 * so that an unchanged tensor has unchanged chunks wherever it stands in the file, and every 256 KiB
 * from there.
 */
import { open } from 'node:fs/promises';
import { AppError } from '#shared/kernel/errors.js';
import { maxChunkBytes } from '#shared/protocol/blocks.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { Digest } from '#shared/protocol/primitives.js';
import { diskError } from '#shared/platform/atomic-file.js';
import { sha256Hex } from './digest.js';
import { type ChunkMap, chunkMapSchema } from './image-schema.js';

/** A chunk map of this size describes more than 20 GiB. */
export const maxChunkMapBytes = 8 * 1024 * 1024;

export interface ChunkSource {
  readonly digest: Digest;
  readonly size: number;
  readonly path: string;
  /** Offsets at which a chunk should end and the next begin; in any order. */
  readonly cuts: readonly number[];
}

export interface FlatChunk {
  readonly blob: Digest;
  readonly blobSize: number;
  readonly offset: number;
  readonly length: number;
  /** 64 hex digits. */
  readonly sha256: string;
}

/** Lengths of the chunks of a blob: pure, so that the rule can be tested alone. */
export function planChunks(size: number, cuts: readonly number[]): number[] {
  const inside = [...new Set(cuts)].filter((cut) => cut > 0 && cut < size).sort((a, b) => a - b);
  const lengths: number[] = [];
  let start = 0;
  for (const end of [...inside, size]) {
    for (; start < end; start += lengths.at(-1) ?? 0) lengths.push(Math.min(maxChunkBytes, end - start));
  }
  return lengths;
}

export async function buildChunkMap(blobs: readonly ChunkSource[]): Promise<ChunkMap> {
  const mapped: ChunkMap['blobs'] = [];
  for (const blob of blobs) mapped.push({ digest: blob.digest, size: blob.size, chunks: await hashChunks(blob) });
  return { schema: 1, blobs: mapped };
}

export function encodeChunkMap(map: ChunkMap): Uint8Array {
  return Buffer.from(canonicalJson(map));
}

/** @throws AppError `image.invalid` when the bytes are no chunk map or its chunks do not fill its blobs */
export function decodeChunkMap(bytes: Uint8Array): ChunkMap {
  const decoded = decodeMessage(chunkMapSchema, bytes, maxChunkMapBytes);
  if (!decoded.ok) throw new AppError('image.invalid', `the chunk map is malformed: ${decoded.error.message}`);
  const digests = new Set<Digest>();
  for (const blob of decoded.value.blobs) {
    if (digests.has(blob.digest)) throw new AppError('image.invalid', `the chunk map lists ${blob.digest} twice`);
    digests.add(blob.digest);
    const covered = blob.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (covered !== blob.size) {
      throw new AppError(
        'image.invalid',
        `the chunks of ${blob.digest} cover ${String(covered)} of its ${String(blob.size)} bytes`,
      );
    }
  }
  return decoded.value;
}

/** All chunks in the order of block requests: position in the result is the chunk's index. */
export function flattenChunks(map: ChunkMap): FlatChunk[] {
  return map.blobs.flatMap((blob) => {
    let offset = 0;
    return blob.chunks.map(({ length, sha256 }) => {
      const chunk = { blob: blob.digest, blobSize: blob.size, offset, length, sha256 };
      offset += length;
      return chunk;
    });
  });
}

async function hashChunks(blob: ChunkSource): Promise<{ length: number; sha256: string }[]> {
  const chunks: { length: number; sha256: string }[] = [];
  const buffer = Buffer.allocUnsafe(maxChunkBytes);
  const file = await open(blob.path, 'r').catch((error: unknown) => {
    throw diskError(error, `cannot read ${blob.path}`);
  });
  try {
    let offset = 0;
    for (const length of planChunks(blob.size, blob.cuts)) {
      await readFully(file, buffer.subarray(0, length), offset, blob.path);
      chunks.push({ length, sha256: sha256Hex(buffer.subarray(0, length)) });
      offset += length;
    }
  } finally {
    await file.close();
  }
  return chunks;
}

async function readFully(
  file: Awaited<ReturnType<typeof open>>,
  into: Buffer,
  position: number,
  path: string,
): Promise<void> {
  let filled = 0;
  while (filled < into.length) {
    const { bytesRead } = await file.read(into, filled, into.length - filled, position + filled);
    if (bytesRead === 0) throw new AppError('disk.failed', `${path} became shorter while it was read`);
    filled += bytesRead;
  }
}
