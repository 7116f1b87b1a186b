/** All that a layer can hold of a folder: files, folders and symbolic links as they are, never followed. */
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import type { TarEntry } from '#shared/package/write-tar.js';
import { diskError } from '#shared/platform/atomic-file.js';

export interface FolderRules {
  /** Where it lies in the layer; '' is the root. */
  readonly prefix: string;
  readonly modeOf: (mode: number, isFolder: boolean) => number;
  /** Its path in the folder. */
  readonly takes?: (path: string) => boolean;
  readonly maxBytes: number;
}

/** @throws AppError `config.invalid` for a folder that is too large, `disk.*` */
export async function folderEntries(root: string, rules: FolderRules): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  let bytes = 0;
  const walk = async (inside: string): Promise<void> => {
    for (const name of (await readdir(join(root, inside))).sort()) {
      const path = inside === '' ? name : `${inside}/${name}`;
      if (rules.takes?.(path) === false) continue;
      const from = join(root, path);
      const found = await lstat(from);
      const at = { path: rules.prefix === '' ? path : `${rules.prefix}/${path}` };
      if (found.isDirectory()) {
        entries.push({ ...at, kind: 'folder', mode: rules.modeOf(found.mode, true) });
        await walk(path);
      } else if (found.isSymbolicLink()) {
        entries.push({ ...at, kind: 'link', to: await readlink(from) });
      } else if (found.isFile()) {
        bytes += found.size;
        if (bytes > rules.maxBytes) throw tooLarge(root, rules.maxBytes);
        entries.push({ ...at, kind: 'file', mode: rules.modeOf(found.mode, false), from, size: found.size });
      }
      // Sockets, pipes and devices are no part of an image.
    }
  };
  try {
    await walk('');
  } catch (error) {
    throw error instanceof AppError ? error : diskError(error, `cannot read ${root}`);
  }
  return entries;
}

/** For all, and for nobody to change. */
export function plainMode(mode: number, isFolder: boolean): number {
  return isFolder || (mode & 0o100) !== 0 ? 0o755 : 0o644;
}

function tooLarge(root: string, maxBytes: number): AppError {
  return new AppError(
    'config.invalid',
    `${root} has more than ${String(maxBytes)} bytes, too many for a part of an image`,
  );
}
