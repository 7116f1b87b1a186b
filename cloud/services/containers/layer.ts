/** A layer of an image: a tar that is made anew each time it is read, with the digest that it had the first time. */
import { createHash } from 'node:crypto';
import { type TarEntry, writeTar } from '#shared/package/write-tar.js';
import type { Digest } from '#shared/protocol/primitives.js';

export interface Layer {
  /** Of its tar, not compressed. */
  readonly digest: Digest;
  /** Bytes as {@link open} gives them. */
  readonly size: number;
  open(): AsyncIterable<Uint8Array>;
}

export async function layerOf(entries: readonly TarEntry[]): Promise<Layer> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const piece of writeTar(entries)) {
    hash.update(piece);
    size += piece.length;
  }
  return { digest: `sha256:${hash.digest('hex')}`, size, open: () => writeTar(entries) };
}
