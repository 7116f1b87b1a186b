/**
 * Room kept for a start: a file of no content worth keeping. A start has to write its lock and the boot
 * counter, and a device that a full disk keeps from starting would not even serve what it has. When they
 * do not fit, the ballast makes room; what is left of it is laid again at once, as much as fits.
 */
import { randomBytes } from 'node:crypto';
import { open, rm, stat } from 'node:fs/promises';
import { AppError } from '#shared/kernel/errors.js';
import { diskError, errno } from '#shared/platform/atomic-file.js';

const ballastBytes = 256 * 1024;
const pieceBytes = 4 * 1024;

/** Runs what a start must write; on a full disk once more, in the room of the ballast. */
export async function inRoomOf<T>(ballast: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'disk.full')) throw error;
    await rm(ballast, { force: true });
    return write();
  }
}

/** Fills the file up to its size, or to the end of the disk. */
export async function layBallast(path: string): Promise<void> {
  try {
    if ((await sizeOf(path)) >= ballastBytes) return;
    const file = await open(path, 'w', 0o600);
    try {
      // Random, so that no file system stores it in less room than it is to keep.
      for (let size = 0; size < ballastBytes; size += pieceBytes) await file.writeFile(randomBytes(pieceBytes));
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errno(error) !== 'ENOSPC') throw diskError(error, `cannot write ${path}`);
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errno(error) === 'ENOENT') return 0;
    throw error;
  }
}
