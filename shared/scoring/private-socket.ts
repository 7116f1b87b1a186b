/**
 * A Unix socket that only this user may open, put in place of whatever was there before: a predecessor
 * goes on with the connections it has, new ones come here. The socket is bound under a name of its own,
 * closed to others, then renamed.
 */
import { chmodSync, renameSync, rmSync, statSync } from 'node:fs';
import type { Server } from 'node:net';
import { AppError } from '#shared/kernel/errors.js';

/** What the kernel's address structure holds, less the suffix of the temporary name. */
const maxPathBytes = 107 - 12;

export interface PrivateSocket {
  /** Removes the path, unless a successor has taken it. */
  remove(): void;
}

/** @throws AppError `config.invalid` for a path that is too long; what listening fails with */
export async function listenPrivately(server: Server, path: string): Promise<PrivateSocket> {
  if (Buffer.byteLength(path) > maxPathBytes) {
    throw new AppError(
      'config.invalid',
      `the socket path ${path} is longer than ${String(maxPathBytes)} bytes: choose a shorter state folder`,
    );
  }
  const temporary = `${path}.${String(process.pid)}`;
  rmSync(temporary, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(temporary, () => {
      server.off('error', reject);
      resolve();
    });
  });
  chmodSync(temporary, 0o600);
  const { ino } = statSync(temporary);
  renameSync(temporary, path);
  return {
    remove: () => {
      if (statSync(path, { throwIfNoEntry: false })?.ino === ino) rmSync(path, { force: true });
    },
  };
}
