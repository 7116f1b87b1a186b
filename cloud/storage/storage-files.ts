/** The files of the local storage on disk: what a row says of one counts, and what is beyond it was cut off. */
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rm, rmdir, stat, truncate } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import type { Readable } from 'node:stream';
import { diskError, errno, syncFolder } from '#shared/platform/atomic-file.js';
import { relativePathSchema } from '#shared/protocol/primitives.js';
import { isName } from '#shared/kernel/names.js';

export class StorageFiles {
  constructor(private readonly root: string) {}

  /**
   * @param from bytes that count: what lies beyond them goes
   * @returns where the new bytes end; less than `from` was there where a file was lost
   * @throws AppError `disk.*`
   */
  async append(workspace: string, path: string, from: number, pieces: readonly Uint8Array[]): Promise<number> {
    const whole = this.pathOf(workspace, path);
    try {
      const isNew = from === 0;
      if (isNew) await mkdir(dirname(whole), { recursive: true, mode: 0o700 });
      const file = await open(whole, isNew ? 'w' : 'r+', 0o600).catch((error: unknown) => {
        // Gone without us: what comes now begins it anew.
        if (errno(error) !== 'ENOENT') throw error;
        return open(whole, 'w', 0o600);
      });
      let at: number;
      try {
        const { size } = await file.stat();
        at = Math.min(from, size);
        if (size > at) await file.truncate(at);
        for (const piece of pieces) {
          let written = 0;
          while (written < piece.length) {
            written += (await file.write(piece, written, piece.length - written, at + written)).bytesWritten;
          }
          at += piece.length;
        }
        await file.sync();
      } finally {
        await file.close();
      }
      if (isNew) await this.syncFolders(dirname(whole));
      return at;
    } catch (error) {
      throw diskError(error, `cannot append to ${whole}`);
    }
  }

  async size(workspace: string, path: string): Promise<number> {
    return (await stat(this.pathOf(workspace, path)).catch(() => undefined))?.size ?? 0;
  }

  read(workspace: string, path: string, bytes: number): Readable {
    return createReadStream(this.pathOf(workspace, path), { end: bytes - 1 });
  }

  /** With the folders that it leaves empty. */
  async remove(workspace: string, path: string): Promise<void> {
    const whole = this.pathOf(workspace, path);
    await rm(whole, { force: true });
    for (let folder = dirname(whole); folder.length > this.root.length; folder = dirname(folder)) {
      try {
        await rmdir(folder);
      } catch {
        return;
      }
    }
  }

  async removeWorkspace(workspace: string): Promise<void> {
    if (isName(workspace)) await rm(join(this.root, workspace), { recursive: true, force: true });
  }

  /** Every file that is there. */
  async all(): Promise<{ workspace: string; path: string }[]> {
    const entries = await readdir(this.root, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
      if (errno(error) === 'ENOENT') return [];
      throw diskError(error, `cannot read ${this.root}`);
    });
    return entries.flatMap((entry) => {
      if (!entry.isFile()) return [];
      const [workspace = '', ...rest] = relative(this.root, join(entry.parentPath, entry.name)).split(sep);
      const path = rest.join('/');
      // What somebody else put there stays as it is.
      return isName(workspace) && relativePathSchema.safeParse(path).success ? [{ workspace, path }] : [];
    });
  }

  async cut(workspace: string, path: string, bytes: number): Promise<void> {
    await truncate(this.pathOf(workspace, path), bytes);
  }

  /** Paths are checked by whoever makes them, and once more here: nothing leaves the folder. */
  private pathOf(workspace: string, path: string): string {
    if (!isName(workspace) || !relativePathSchema.safeParse(path).success) {
      throw new Error(`not a path of the storage: ${workspace}/${path}`);
    }
    return join(this.root, workspace, path);
  }

  private async syncFolders(folder: string): Promise<void> {
    for (let each = folder; each.length >= this.root.length; each = dirname(each)) await syncFolder(each);
  }
}
