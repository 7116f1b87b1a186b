/**
 * Blobs kept open while devices fetch them: opening and closing a file for every chunk costs more than
 * reading it. Few at a time, and closed soon after the last read, so that a removed blob frees its space.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { AppError } from '#shared/kernel/errors.js';
import { diskError, errno } from '#shared/platform/atomic-file.js';
import type { Digest } from '#shared/protocol/primitives.js';

interface OpenBlob {
  readonly handle: Promise<FileHandle>;
  /** Asked once: a blob never changes. */
  size?: Promise<number>;
  readers: number;
}

const maxOpen = 32;

export class BlobHandles {
  /** The least recently used first. */
  private readonly blobs = new Map<Digest, OpenBlob>();
  private sweep: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly pathOf: (digest: Digest) => string,
    private readonly idleMs = 5_000,
  ) {}

  /** In bytes; undefined: there is none. @throws AppError `disk.failed` */
  async size(digest: Digest): Promise<number | undefined> {
    try {
      return await this.reading(digest, (blob) => {
        blob.size ??= blob.handle.then(async (handle) => (await handle.stat()).size);
        return blob.size;
      });
    } catch (error) {
      if (error instanceof AppError && error.code === 'blob.not-found') return undefined;
      throw error;
    }
  }

  /**
   * Fills `target` from `offset` on.
   * @throws AppError `blob.not-found`, `blob.corrupt` when the blob ends before, `disk.failed`
   */
  async readInto(target: Buffer, digest: Digest, offset: number): Promise<void> {
    await this.reading(digest, async (blob) => {
      const handle = await blob.handle;
      let filled = 0;
      while (filled < target.length) {
        const { bytesRead } = await handle.read(target, filled, target.length - filled, offset + filled);
        if (bytesRead === 0) {
          throw new AppError('blob.corrupt', `blob ${digest} ends before byte ${String(offset + target.length)}`);
        }
        filled += bytesRead;
      }
    });
  }

  private async reading<T>(digest: Digest, read: (blob: OpenBlob) => Promise<T>): Promise<T> {
    const blob = this.use(digest);
    try {
      return await read(blob);
    } catch (error) {
      this.forget(digest);
      if (error instanceof AppError) throw error;
      if (errno(error) === 'ENOENT')
        throw new AppError('blob.not-found', `there is no blob ${digest}: upload it again`);
      throw diskError(error, `cannot read blob ${digest}`);
    } finally {
      this.release(blob);
    }
  }

  /** The next read opens the file anew: what was read may have been damaged, and replaced since. */
  forget(digest: Digest): void {
    const blob = this.blobs.get(digest);
    if (!blob) return;
    this.blobs.delete(digest);
    if (blob.readers === 0) close(blob);
  }

  close(): void {
    clearTimeout(this.sweep);
    for (const digest of [...this.blobs.keys()]) this.forget(digest);
  }

  private use(digest: Digest): OpenBlob {
    const known = this.blobs.get(digest);
    this.blobs.delete(digest);
    const blob = known ?? { handle: open(this.pathOf(digest), 'r'), readers: 0 };
    blob.readers += 1;
    this.blobs.set(digest, blob);
    if (this.blobs.size > maxOpen) {
      const [oldest] = this.blobs.keys();
      if (oldest !== undefined) this.forget(oldest);
    }
    return blob;
  }

  private release(blob: OpenBlob): void {
    blob.readers -= 1;
    if (blob.readers > 0) return;
    if (![...this.blobs.values()].includes(blob)) {
      close(blob);
      return;
    }
    clearTimeout(this.sweep);
    this.sweep = setTimeout(() => {
      for (const [digest, { readers }] of this.blobs) if (readers === 0) this.forget(digest);
    }, this.idleMs).unref();
  }
}

function close(blob: OpenBlob): void {
  blob.handle.then((handle) => handle.close()).catch(() => undefined); // it was never open, or only read from
}
