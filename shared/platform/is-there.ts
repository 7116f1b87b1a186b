import { lstat } from 'node:fs/promises';
import { errno } from './atomic-file.js';

/** Whether the path names anything, a broken link included. @throws what keeps it from being looked at */
export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errno(error) === 'ENOENT') return false;
    throw error;
  }
}
