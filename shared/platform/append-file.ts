/**
 * A file that only grows. What was appended is on disk when the promise resolves; after a failure the
 * file ends where it ended before, as far as the disk lets it, and takes no more.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { diskError, syncFolder } from './atomic-file.js';

export class AppendFile {
  private bytes = 0;
  private failed = false;
  private isNamed = false;

  private constructor(
    readonly path: string,
    private readonly file: FileHandle,
  ) {}

  /** One of that name that an earlier failure left is overwritten. */
  static async create(path: string): Promise<AppendFile> {
    try {
      return new AppendFile(path, await open(path, 'w', 0o600));
    } catch (error) {
      throw diskError(error, `cannot make ${path}`);
    }
  }

  get size(): number {
    return this.bytes;
  }

  /** Takes no more: make another one. */
  get isBroken(): boolean {
    return this.failed;
  }

  /** @returns where the bytes begin */
  async append(data: Uint8Array): Promise<number> {
    const at = await this.write(data);
    try {
      await this.file.sync();
      // Its name has to survive as well, once.
      if (!this.isNamed) await syncFolder(dirname(this.path));
      this.isNamed = true;
    } catch (error) {
      await this.giveUp(at);
      throw diskError(error, `cannot append to ${this.path}`);
    }
    return at;
  }

  /** For what may be lost in a power cut. */
  async write(data: Uint8Array): Promise<number> {
    const at = this.bytes;
    try {
      let written = 0;
      while (written < data.length) {
        const { bytesWritten } = await this.file.write(data, written, data.length - written, at + written);
        written += bytesWritten;
      }
    } catch (error) {
      await this.giveUp(at);
      throw diskError(error, `cannot append to ${this.path}`);
    }
    this.bytes = at + data.length;
    return at;
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  private async giveUp(size: number): Promise<void> {
    this.failed = true;
    this.bytes = size;
    await Promise.allSettled([this.file.truncate(size)]);
  }
}
