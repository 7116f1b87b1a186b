/**
 * Completes the blobs that a chunk map lists: first by what an interrupted download left, then by
 * chunks that other images on this disk have, then over the network. A partial file needs no list of
 * what it holds: its bytes are hashed against the map, which cannot be wrong about them.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { diskError, errno } from '#shared/platform/atomic-file.js';
import { flattenChunks } from '#shared/package/chunk-map.js';
import { sha256Hex } from '#shared/package/digest.js';
import type { ChunkMap } from '#shared/package/image-schema.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { Progress } from '#agent/reconcile/observed.js';
import type { ImageStore } from '#agent/store/image-store.js';
import type { BlockClient } from '#agent/link/block-client.js';
import type { WantedChunk } from '#agent/link/block-transfer.js';

export interface BlobFetch {
  readonly map: ChunkMap;
  readonly mapDigest: Digest;
  readonly images: ImageStore;
  readonly blocks: BlockClient;
  readonly neighbours: readonly Digest[];
  /** What came before, for the count. */
  readonly smallBytes: number;
  readonly requireRoom: (bytes: number) => Promise<void>;
  readonly onProgress: (progress: Progress) => void;
  readonly signal: AbortSignal;
}

interface Chunk {
  readonly index: number;
  readonly blob: Digest;
  readonly offset: number;
  readonly length: number;
  readonly sha256: string;
}

export function fetchBlobs(input: BlobFetch): Promise<void> {
  const digests = input.map.blobs.map(({ digest }) => digest);
  return input.images.blobs.turns.run(digests, input.signal, () => fetchMissing(input));
}

async function fetchMissing(input: BlobFetch): Promise<void> {
  const { blobs } = input.images;
  const chunks: Chunk[] = flattenChunks(input.map).map((chunk, index) => ({ ...chunk, index }));
  const missing: { readonly digest: Digest; readonly size: number }[] = [];
  for (const blob of input.map.blobs) if (!(await blobs.has(blob.digest))) missing.push(blob);
  const files = new PartialFiles((digest) => blobs.partialPathOf(digest));
  const missingNames = new Set(missing.map(({ digest }) => digest));
  const wanted = chunks.filter(({ blob }) => missingNames.has(blob));
  let progress: Progress = {
    bytesFetched: input.smallBytes,
    bytesReused: 0,
    bytesResumed: 0,
    bytesTotal: wanted.reduce((sum, { length }) => sum + length, input.smallBytes),
  };
  const count = (change: Partial<Progress>): void => {
    progress = { ...progress, ...change };
    input.onProgress(progress);
  };
  try {
    const left: Chunk[] = [];
    for (const chunk of wanted) {
      input.signal.throwIfAborted();
      if (await files.holds(chunk)) count({ bytesResumed: progress.bytesResumed + chunk.length });
      else left.push(chunk);
    }
    await input.requireRoom(left.reduce((sum, { length }) => sum + length, 0));
    for (const { digest, size } of missing) await files.create(digest, size);

    const still = await reuseChunks(left, input, files, (bytes) =>
      count({ bytesReused: progress.bytesReused + bytes }),
    );
    // Equal chunks are asked for once, and written to each of their places.
    const places = groupBySha(still);
    const first = [...places.values()].flatMap(([chunk]) => (chunk === undefined ? [] : [chunk]));
    await input.blocks.fetch(
      { kind: 'chunks', map: input.mapDigest },
      first,
      async (chunk: WantedChunk, bytes) => {
        for (const place of places.get(chunk.sha256 ?? '') ?? []) await files.write(place, bytes);
        count({ bytesFetched: progress.bytesFetched + bytes.length });
      },
      input.signal,
    );
    await files.close();
    for (const { digest } of missing) await blobs.adoptPartial(digest);
    count({});
  } finally {
    await files.close();
  }
}

function groupBySha(chunks: readonly Chunk[]): Map<string, Chunk[]> {
  const groups = new Map<string, Chunk[]>();
  for (const chunk of chunks) {
    const group = groups.get(chunk.sha256);
    if (group === undefined) groups.set(chunk.sha256, [chunk]);
    else group.push(chunk);
  }
  return groups;
}

/** @returns the chunks that no other image had */
async function reuseChunks(
  wanted: readonly Chunk[],
  { images, neighbours, signal }: BlobFetch,
  files: PartialFiles,
  onReused: (bytes: number) => void,
): Promise<Chunk[]> {
  if (wanted.length === 0) return [];
  const elsewhere = await chunksOf(neighbours, images);
  const sources = new PartialFiles((digest) => images.blobs.pathOf(digest));
  const left: Chunk[] = [];
  try {
    for (const chunk of wanted) {
      signal.throwIfAborted();
      const source = elsewhere.get(chunk.sha256);
      const bytes = source === undefined ? undefined : await sources.read(source);
      if (bytes === undefined || sha256Hex(bytes) !== chunk.sha256 || bytes.length !== chunk.length) left.push(chunk);
      else {
        await files.write(chunk, bytes);
        onReused(chunk.length);
      }
    }
  } finally {
    await sources.close();
  }
  return left;
}

async function chunksOf(neighbours: readonly Digest[], images: ImageStore): Promise<Map<string, Chunk>> {
  const found = new Map<string, Chunk>();
  for (const neighbour of neighbours) {
    const manifest = await images.manifestOf(neighbour);
    const map = manifest === undefined ? undefined : await images.chunkMapOf(manifest);
    if (map === undefined) continue;
    for (const [index, chunk] of flattenChunks(map).entries()) found.set(chunk.sha256, { ...chunk, index });
  }
  return found;
}

/** Open files by blob. */
class PartialFiles {
  private readonly handles = new Map<Digest, FileHandle>();
  private readonly absent = new Set<Digest>();

  constructor(private readonly pathOf: (digest: Digest) => string) {}

  async holds(chunk: Chunk): Promise<boolean> {
    const bytes = await this.read(chunk);
    return bytes !== undefined && bytes.length === chunk.length && sha256Hex(bytes) === chunk.sha256;
  }

  async read(chunk: Chunk): Promise<Uint8Array | undefined> {
    const handle = await this.openExisting(chunk.blob);
    if (handle === undefined) return undefined;
    const bytes = new Uint8Array(chunk.length);
    const { bytesRead } = await handle.read(bytes, 0, chunk.length, chunk.offset);
    return bytes.subarray(0, bytesRead);
  }

  /** With its final size: a file left by a download of the same blob keeps what it has. */
  async create(digest: Digest, size: number): Promise<void> {
    try {
      const existing = await this.openExisting(digest);
      const handle = existing ?? (await open(this.pathOf(digest), 'w+'));
      this.handles.set(digest, handle);
      await handle.truncate(size);
    } catch (error) {
      throw diskError(error, `cannot make room for ${digest}`);
    }
  }

  async write(chunk: Chunk, bytes: Uint8Array): Promise<void> {
    const handle = this.handles.get(chunk.blob);
    if (handle === undefined) throw new Error(`no open file for ${chunk.blob}`);
    try {
      let written = 0;
      while (written < bytes.length) {
        const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, chunk.offset + written);
        written += bytesWritten;
      }
    } catch (error) {
      throw diskError(error, `cannot write a chunk of ${chunk.blob}`);
    }
  }

  async close(): Promise<void> {
    const handles = [...this.handles.values()];
    this.handles.clear();
    for (const handle of handles) await handle.close();
  }

  private async openExisting(digest: Digest): Promise<FileHandle | undefined> {
    const known = this.handles.get(digest);
    if (known !== undefined || this.absent.has(digest)) return known;
    try {
      const handle = await open(this.pathOf(digest), 'r+');
      this.handles.set(digest, handle);
      return handle;
    } catch (error) {
      if (errno(error) !== 'ENOENT') throw diskError(error, `cannot open the bytes of ${digest}`);
      this.absent.add(digest);
      return undefined;
    }
  }
}
