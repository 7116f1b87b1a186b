/** Is there room? Asked before a download, not found out in its middle. */
import { statfs } from 'node:fs/promises';
import { AppError } from '#shared/kernel/errors.js';

export type FreeBytes = (folder: string) => Promise<number>;

/** What this user may still write. */
export const freeBytes: FreeBytes = async (folder) => {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
};

/**
 * @param reserveBytes left free for everything else on the device
 * @throws AppError `disk.full`
 */
export async function requireRoom(
  folder: string,
  neededBytes: number,
  reserveBytes: number,
  free: FreeBytes,
): Promise<void> {
  if (neededBytes === 0) return;
  const available = await free(folder);
  if (available >= neededBytes + reserveBytes) return;
  throw new AppError(
    'disk.full',
    `${megabytes(neededBytes)} are needed in ${folder} and ${megabytes(reserveBytes)} are kept free, but only ${megabytes(available)} are there; free some and it goes on by itself`,
    { details: { neededBytes, reserveBytes, freeBytes: available } },
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
