/** Parsed chunk maps, the least recently used ones dropped when they hold too many chunks together. */
import { decodeChunkMap, flattenChunks, type FlatChunk, maxChunkMapBytes } from '#shared/package/chunk-map.js';
import { digestOf } from '#shared/package/digest.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Digest } from '#shared/protocol/primitives.js';

export type ReadWhole = (digest: Digest, maxBytes: number) => Promise<Buffer>;

export class ChunkMapCache {
  private readonly maps = new Map<Digest, Promise<readonly FlatChunk[]>>();
  private readonly sizes = new Map<Digest, number>();
  private chunks = 0;

  constructor(
    private readonly readWhole: ReadWhole,
    private readonly maxChunks = 200_000,
  ) {}

  /** @throws AppError `blob.not-found`, `blob.corrupt`, `image.invalid` */
  async get(digest: Digest): Promise<readonly FlatChunk[]> {
    const known = this.maps.get(digest);
    if (known) {
      this.maps.delete(digest);
      this.maps.set(digest, known);
      return known;
    }
    const loading = this.load(digest);
    this.maps.set(digest, loading);
    try {
      const chunks = await loading;
      this.sizes.set(digest, chunks.length);
      this.chunks += chunks.length;
      this.shrink(digest);
      return chunks;
    } catch (error) {
      this.maps.delete(digest);
      throw error;
    }
  }

  private async load(digest: Digest): Promise<readonly FlatChunk[]> {
    const bytes = await this.readWhole(digest, maxChunkMapBytes);
    if (digestOf(bytes) !== digest) {
      throw new AppError('blob.corrupt', `the chunk map ${digest} is damaged on disk: upload it again`);
    }
    return flattenChunks(decodeChunkMap(bytes));
  }

  private shrink(newest: Digest): void {
    for (const digest of this.maps.keys()) {
      if (this.chunks <= this.maxChunks) return;
      if (digest === newest || !this.sizes.has(digest)) continue;
      this.chunks -= this.sizes.get(digest) ?? 0;
      this.sizes.delete(digest);
      this.maps.delete(digest);
    }
  }
}
