/** Who could put something else in the place of what a folder holds: nobody but its owner and root may. */
import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import { diskError } from '#shared/platform/atomic-file.js';

export interface FolderFacts {
  readonly path: string;
  readonly uid: number;
  /** With the sticky bit. */
  readonly mode: number;
}

const writableByGroup = 0o020;
const writableByAll = 0o002;
const sticky = 0o1000;

/**
 * What is wrong with a folder, as a sentence with the remedy.
 *
 * @param chain the folder, then what it lies in, up to the root
 */
export function folderFault(chain: readonly FolderFacts[], uid: number): string | undefined {
  const [folder, ...above] = chain;
  if (folder === undefined) return undefined;
  const { path } = folder;
  if (folder.uid !== uid && folder.uid !== 0) {
    return `${path} belongs to user ${String(folder.uid)}, who could replace what is in it: give it to the agent's user (chown ${String(uid)} ${path})`;
  }
  if ((folder.mode & (writableByGroup | writableByAll)) !== 0) {
    return `${path} is writable by others, who could replace what is in it: close it (chmod go-w ${path})`;
  }
  const open = above.find(({ mode }) => (mode & writableByAll) !== 0 && (mode & sticky) === 0);
  return open === undefined
    ? undefined
    : `${open.path} is writable by everyone, who could replace ${path}: close it (chmod o-w ${open.path}), or choose another place`;
}

/** @throws AppError `config.invalid` for a folder that others can change, `disk.failed` */
export async function refuseOpenFolder(path: string): Promise<void> {
  const uid = process.getuid?.();
  if (uid === undefined) return;
  const chain: FolderFacts[] = [];
  for (let at = resolve(path), last = ''; at !== last; last = at, at = dirname(at)) {
    try {
      const facts = await stat(at);
      chain.push({ path: at, uid: facts.uid, mode: facts.mode });
    } catch (error) {
      throw diskError(error, `cannot look at ${at}`);
    }
  }
  const fault = folderFault(chain, uid);
  if (fault !== undefined) throw new AppError('config.invalid', fault);
}
