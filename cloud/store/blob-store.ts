/**
 * Content-addressed bytes on disk. The root folder is an OCI image layout (`oci-layout`, `index.json`,
 * `blobs/sha256/<hex>`), so that other tools read it as it is. Invariants: a file under its digest is
 * whole and was hashed while it was written; it appears by rename, so a kill at any instant leaves at
 * most a temporary in `uploads/`, which the next start removes; the same bytes are stored once.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, type ReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, utimes, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { AppError } from '#shared/kernel/errors.js';
import { diskError, errno, syncFolder, writeFileAtomic } from '#shared/platform/atomic-file.js';
import { digestSchema, type Digest } from '#shared/protocol/primitives.js';
import { TurnTaker } from './turn-taker.js';

export interface StoredBlob {
  readonly digest: Digest;
  readonly size: number;
}

export interface PutOptions {
  /** The digest the bytes must have. */
  readonly expected?: Digest;
  /** More bytes than this are refused as soon as they arrive. */
  readonly maxBytes: number;
}

export interface ByteRange {
  readonly start: number;
  /** Inclusive. */
  readonly end: number;
}

export class BlobStore {
  /** Renaming into place and removing take turns, so that garbage collection never races an upload. */
  private readonly turns = new TurnTaker();

  private constructor(readonly root: string) {}

  static async open(root: string): Promise<BlobStore> {
    const store = new BlobStore(root);
    try {
      await mkdir(store.blobFolder, { recursive: true });
      await rm(store.uploadFolder, { recursive: true, force: true });
      await mkdir(store.uploadFolder);
      await writeFileAtomic(join(root, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
      await syncFolder(root);
    } catch (error) {
      throw error instanceof AppError ? error : diskError(error, `cannot open the blob store ${root}`);
    }
    return store;
  }

  pathOf(digest: Digest): string {
    if (!digestSchema.safeParse(digest).success) throw new Error(`not a digest: ${digest}`);
    return join(this.blobFolder, digest.slice('sha256:'.length));
  }

  async has(digest: Digest): Promise<boolean> {
    return (await this.size(digest)) !== undefined;
  }

  /** Bytes stored, or undefined when there is no such blob. */
  async size(digest: Digest): Promise<number | undefined> {
    try {
      return (await stat(this.pathOf(digest))).size;
    } catch (error) {
      if (errno(error) === 'ENOENT') return undefined;
      throw diskError(error, `cannot read blob ${digest}`);
    }
  }

  /** Resolves once the file is open, so that a missing blob is an error before the first byte. */
  async open(digest: Digest, range?: ByteRange): Promise<ReadStream> {
    const file = await this.openFile(digest);
    return createReadStream(this.pathOf(digest), { fd: file, autoClose: true, ...range });
  }

  /** Exactly `length` bytes; fewer on disk is a corrupt blob. */
  async readRange(digest: Digest, offset: number, length: number): Promise<Buffer> {
    const file = await this.openFile(digest);
    try {
      const bytes = Buffer.allocUnsafe(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
        if (bytesRead === 0) throw corrupt(digest, `it ends before byte ${String(offset + length)}`);
        filled += bytesRead;
      }
      return bytes;
    } catch (error) {
      throw error instanceof AppError ? error : diskError(error, `cannot read blob ${digest}`);
    } finally {
      await file.close();
    }
  }

  /** Reads all of a blob; for the small documents that images are made of. */
  async readAll(digest: Digest, maxBytes: number): Promise<Buffer> {
    const size = await this.size(digest);
    if (size === undefined) throw notFound(digest);
    if (size > maxBytes) {
      throw new AppError(
        'request.too-large',
        `blob ${digest} has ${String(size)} bytes; a document of this kind may have ${String(maxBytes)}`,
      );
    }
    return this.readRange(digest, 0, size);
  }

  /** Stores what the stream gives. Whatever fails, nothing of it stays. */
  async put(
    source: Readable | AsyncIterable<Uint8Array>,
    options: PutOptions,
  ): Promise<StoredBlob & { created: boolean }> {
    const temporary = join(this.uploadFolder, randomUUID());
    try {
      const stored = await writeHashed(temporary, source, options.maxBytes);
      if (options.expected !== undefined && stored.digest !== options.expected) {
        throw new AppError(
          'blob.digest-mismatch',
          `the ${String(stored.size)} bytes received are ${stored.digest}, not ${options.expected}: upload them again`,
        );
      }
      return { ...stored, created: await this.keep(temporary, stored) };
    } catch (error) {
      if (error instanceof AppError) throw error;
      if (errno(error) === undefined || isDisconnect(error)) {
        throw new AppError('request.aborted', 'the upload ended before all bytes came; send it again', {
          cause: error,
        });
      }
      throw diskError(error, 'cannot store the upload');
    } finally {
      await discard(temporary);
    }
  }

  /** Says that the blob is wanted: garbage collection's grace period starts anew. False when there is none. */
  async touch(digest: Digest): Promise<boolean> {
    return this.turns.run(async () => {
      try {
        const now = new Date();
        await utimes(this.pathOf(digest), now, now);
        return true;
      } catch (error) {
        if (errno(error) === 'ENOENT') return false;
        throw diskError(error, `cannot touch blob ${digest}`);
      }
    });
  }

  /**
   * Removes a blob that was neither stored nor touched since the instant and that `stillUnwanted`
   * confirms. No upload of the same bytes can come between the question and the removal.
   */
  async removeUnused(
    digest: Digest,
    untouchedSinceMs: number,
    stillUnwanted: () => Promise<boolean>,
  ): Promise<boolean> {
    return this.turns.run(async () => {
      const path = this.pathOf(digest);
      const found = await stat(path).catch(() => undefined);
      if (found === undefined || found.mtimeMs > untouchedSinceMs || !(await stillUnwanted())) return false;
      await rm(path, { force: true });
      return true;
    });
  }

  /**
   * Hashes the stored bytes again. Damaged ones are put aside under `damaged/`, so that the same blob can be
   * uploaded anew. @throws AppError `blob.corrupt`
   */
  async verify(digest: Digest): Promise<StoredBlob> {
    const hash = createHash('sha256');
    let size = 0;
    for await (const chunk of await this.open(digest)) {
      const bytes = chunk as Buffer;
      hash.update(bytes);
      size += bytes.length;
    }
    const found = `sha256:${hash.digest('hex')}`;
    if (found === digest) return { digest, size };
    await this.turns.run(async () => {
      await mkdir(join(this.root, 'damaged'), { recursive: true });
      await rename(this.pathOf(digest), join(this.root, 'damaged', digest.slice('sha256:'.length)));
    });
    throw corrupt(digest, `its ${String(size)} bytes are ${found}`);
  }

  /** Every blob on disk, with when it was last stored or touched. */
  async *list(): AsyncGenerator<StoredBlob & { touchedAtMs: number }> {
    for (const name of await readdir(this.blobFolder)) {
      const digest = `sha256:${name}`;
      if (!digestSchema.safeParse(digest).success) continue;
      const found = await stat(join(this.blobFolder, name)).catch(() => undefined);
      if (found) yield { digest, size: found.size, touchedAtMs: found.mtimeMs };
    }
  }

  /** Throws when the disk takes no more: for readiness. */
  async proveWritable(): Promise<void> {
    const path = join(this.uploadFolder, `probe-${randomUUID()}`);
    try {
      const file = await open(path, 'wx');
      try {
        await file.writeFile('writable');
      } finally {
        await file.close();
      }
    } catch (error) {
      throw diskError(error, `cannot write into ${this.uploadFolder}`);
    } finally {
      await discard(path);
    }
  }

  private get blobFolder(): string {
    return join(this.root, 'blobs', 'sha256');
  }

  private get uploadFolder(): string {
    return join(this.root, 'uploads');
  }

  private async openFile(digest: Digest): Promise<FileHandle> {
    try {
      return await open(this.pathOf(digest), 'r');
    } catch (error) {
      if (errno(error) === 'ENOENT') throw notFound(digest);
      throw diskError(error, `cannot read blob ${digest}`);
    }
  }

  /** True when the bytes were not there. Where they were, the fresh ones replace them: those were just hashed. */
  private async keep(temporary: string, blob: StoredBlob): Promise<boolean> {
    const path = this.pathOf(blob.digest);
    return this.turns.run(async () => {
      const created = !(await this.has(blob.digest));
      await rename(temporary, path);
      await syncFolder(this.blobFolder);
      return created;
    });
  }
}

async function writeHashed(
  path: string,
  source: Readable | AsyncIterable<Uint8Array>,
  maxBytes: number,
): Promise<StoredBlob> {
  const hash = createHash('sha256');
  let size = 0;
  const file = await open(path, 'wx');
  try {
    for await (const chunk of source as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      if (size > maxBytes) {
        throw new AppError(
          'request.too-large',
          `more than ${String(maxBytes)} bytes; limits.maxBlobBytes sets how large a blob may be`,
        );
      }
      hash.update(chunk);
      await file.appendFile(chunk);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { digest: `sha256:${hash.digest('hex')}`, size };
}

/** A temporary that cannot be removed now is removed at the next start; what went before it counts. */
async function discard(temporary: string): Promise<void> {
  await rm(temporary, { force: true }).catch(() => undefined);
}

function isDisconnect(error: unknown): boolean {
  return ['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ABORT_ERR'].includes(errno(error) ?? '');
}

function notFound(digest: Digest): AppError {
  return new AppError('blob.not-found', `there is no blob ${digest}: upload it first`);
}

function corrupt(digest: Digest, what: string): AppError {
  return new AppError('blob.corrupt', `blob ${digest} is damaged on disk: ${what}; upload it again`, {
    details: { digest },
  });
}
