/**
 * Bytes by their digest. A blob appears under its name by a rename, after it was verified and is on
 * disk; a partial one lies in `partial` until then. What lies under a name may rot afterwards, so
 * whoever stages a blob hashes it once more.
 */
import { open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError, errno, syncFolder, writeFileAtomic } from '#shared/platform/atomic-file.js';
import { digestOf, hexOf } from '#shared/package/digest.js';
import type { Digest } from '#shared/protocol/primitives.js';
import { BlobTurns } from '#agent/store/blob-turns.js';
import type { StateFolder } from '#agent/store/state-folder.js';

export class BlobCache {
  /** Held while partial files are written. */
  readonly turns = new BlobTurns();

  constructor(private readonly folder: Pick<StateFolder, 'blobs' | 'partial'>) {}

  pathOf(digest: Digest): string {
    return join(this.folder.blobs, hexOf(digest));
  }

  partialPathOf(digest: Digest): string {
    return join(this.folder.partial, hexOf(digest));
  }

  async has(digest: Digest): Promise<boolean> {
    return (await sizeOf(this.pathOf(digest))) !== undefined;
  }

  /** A small blob, verified; undefined, and gone, when its bytes are no longer what they were. */
  async read(digest: Digest, maxBytes: number): Promise<Buffer | undefined> {
    const path = this.pathOf(digest);
    const size = await sizeOf(path);
    if (size === undefined) return undefined;
    if (size <= maxBytes) {
      const bytes = await readFile(path);
      if (digestOf(bytes) === digest) return bytes;
    }
    await this.remove(digest);
    return undefined;
  }

  /** Keeps bytes that the caller has verified. */
  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    await writeFileAtomic(this.pathOf(digest), bytes);
  }

  /** Takes over a partial file that is complete. */
  async adoptPartial(digest: Digest): Promise<void> {
    try {
      const file = await open(this.partialPathOf(digest), 'r+');
      try {
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(this.partialPathOf(digest), this.pathOf(digest));
      await syncFolder(this.folder.blobs);
    } catch (error) {
      throw diskError(error, `cannot keep ${digest}`);
    }
  }

  async remove(digest: Digest): Promise<void> {
    await rm(this.pathOf(digest), { force: true });
  }

  /** Everything that is not in `keep` goes. */
  async collect(keep: ReadonlySet<Digest>): Promise<{ removed: number; bytes: number }> {
    const names = new Set([...keep].map(hexOf));
    let removed = 0;
    let bytes = 0;
    for (const folder of [this.folder.blobs, this.folder.partial]) {
      for (const name of await readdir(folder)) {
        if (names.has(name)) continue;
        bytes += (await sizeOf(join(folder, name))) ?? 0;
        removed += 1;
        await rm(join(folder, name), { force: true, recursive: true });
      }
    }
    return { removed, bytes };
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined;
    throw diskError(error, `cannot look at ${path}`);
  }
}
