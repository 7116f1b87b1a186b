/** Keeps the log that a detached process writes bounded: what is beyond goes to one older file. */
import { copyFileSync, fstatSync, statSync, truncateSync } from 'node:fs';

export const maxLogBytes = 8 * 1024 * 1024;

/** Does nothing where this file is not where the process writes. Lines of the moment of the cut may be lost. */
export function boundLog(path: string, descriptor: number, maxBytes = maxLogBytes): void {
  const written = fstatSync(descriptor);
  if (!written.isFile() || written.size <= maxBytes) return;
  const named = statSync(path, { throwIfNoEntry: false });
  if (named?.ino !== written.ino || named.dev !== written.dev) return;
  copyFileSync(path, `${path}.1`);
  // It is open for appending: what is written next begins the file anew.
  truncateSync(path);
}
