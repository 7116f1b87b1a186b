/** SHA-256 as the name of bytes. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Digest } from '#shared/protocol/primitives.js';
import { diskError } from '#shared/platform/atomic-file.js';

const prefix = 'sha256:';

export function digestOf(bytes: Uint8Array | string): Digest {
  return prefix + sha256Hex(bytes);
}

export function sha256Hex(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The 64 hex digits, without `sha256:`. */
export function hexOf(digest: Digest): string {
  return digest.slice(prefix.length);
}

/** Reads the file once, in constant memory. The size is what was hashed, not what the folder says. */
export async function digestFile(path: string): Promise<{ digest: Digest; size: number }> {
  const hash = createHash('sha256');
  let size = 0;
  try {
    for await (const piece of createReadStream(path, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) {
      hash.update(piece);
      size += piece.length;
    }
  } catch (error) {
    throw diskError(error, `cannot read ${path}`);
  }
  return { digest: prefix + hash.digest('hex'), size };
}
