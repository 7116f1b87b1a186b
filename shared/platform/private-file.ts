/** Small files for one user alone: keys, tokens, passwords. They are written by `writeFileAtomic` with mode 0600. */
import { mkdir, readFile } from 'node:fs/promises';
import { diskError, errno } from './atomic-file.js';

export async function makePrivateFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw diskError(error, `cannot make ${path}`);
  }
}

/** Undefined when there is no such file. */
export async function readTextIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined;
    throw diskError(error, `cannot read ${path}`);
  }
}
