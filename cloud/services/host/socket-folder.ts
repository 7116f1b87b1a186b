/**
 * Where the sockets of a service host lie: in its folder, or, where that one's path is too long for the kernel's
 * addresses, in a private one elsewhere, to which a link in the folder leads. Who cannot read the folder cannot know it.
 */
import { lstatSync, readlinkSync } from 'node:fs';
import { mkdtemp, rename, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import { diskError } from '#shared/platform/atomic-file.js';

/** What is left of 107 bytes for the names of sockets. */
const maxFolderBytes = 70;

/** As it stands; where none was made yet, a path on which nobody answers. */
export function socketFolderOf(folder: string): string {
  return isShort(folder) ? folder : (linked(folder) ?? folder);
}

/** Made where there is none. @throws AppError `config.invalid`, `disk.*` */
export async function makeSocketFolder(folder: string): Promise<string> {
  if (isShort(folder)) return folder;
  const existing = linked(folder);
  if (existing !== undefined) return existing;
  if (!isShort(tmpdir())) {
    throw new AppError(
      'config.invalid',
      `the folder ${folder} has more than ${String(maxFolderBytes)} bytes in its path, and so has that for temporary files, ${tmpdir()}: sockets need a shorter one; choose another data folder, or another TMPDIR`,
    );
  }
  try {
    const made = await mkdtemp(join(tmpdir(), 'flotilla-services-'));
    const link = linkIn(folder);
    await rm(`${link}.new`, { force: true });
    await symlink(made, `${link}.new`);
    await rename(`${link}.new`, link);
    return made;
  } catch (error) {
    throw diskError(error, `cannot make a folder for the sockets of ${folder}`);
  }
}

const linkIn = (folder: string): string => join(folder, 'sockets');
const isShort = (path: string): boolean => Buffer.byteLength(path) <= maxFolderBytes;

/** Only one that is ours and closed to others: what clears temporary files may have left its name to anybody. */
function linked(folder: string): string | undefined {
  try {
    const target = readlinkSync(linkIn(folder));
    const is = lstatSync(target);
    return is.isDirectory() && is.uid === process.getuid?.() && (is.mode & 0o077) === 0 ? target : undefined;
  } catch {
    return undefined;
  }
}
