/** A file system of a few megabytes, which a test can fill. Needs root, and a kernel that lets it mount. */
import { execFile } from 'node:child_process';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { errno } from '#shared/platform/atomic-file.js';

const run = promisify(execFile);
const block = Buffer.alloc(4096, 0xaa);

export class SmallDisk {
  private constructor(private readonly path: string) {}

  /** @returns undefined where this process may not mount */
  static async mount(path: string, megabytes: number): Promise<SmallDisk | undefined> {
    await mkdir(path, { recursive: true });
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${String(megabytes)}m`, 'tmpfs', path]);
    } catch {
      return undefined;
    }
    return new SmallDisk(path);
  }

  /** Leaves not one block free. */
  async fill(): Promise<void> {
    const file = await open(this.filler, 'a');
    try {
      for (;;) await file.write(block);
    } catch (error) {
      if (errno(error) !== 'ENOSPC') throw error;
    } finally {
      await file.close();
    }
  }

  /** Fills again what is given back meanwhile. */
  async whileFull<T>(task: () => Promise<T>): Promise<T> {
    let over = false;
    const filling = (async () => {
      while (!over) {
        await this.fill();
        await pause(10);
      }
    })();
    try {
      return await task();
    } finally {
      over = true;
      await filling;
    }
  }

  async free(): Promise<void> {
    await rm(this.filler, { force: true });
  }

  async unmount(): Promise<void> {
    await run('umount', [this.path]);
  }

  private get filler(): string {
    return join(this.path, 'filler');
  }
}
