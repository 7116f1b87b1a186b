/**
 * Unpacks a code archive into a folder. Every entry is judged before a byte of it is written: its
 * kind, its path, its size against what is left of the file and of the limits.
 */
import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import type { PathClaims } from './path-claims.js';
import { type ArchiveEntry, ArchiveReader, unsafeArchive } from './read-archive.js';

export interface ArchiveLimits {
  readonly maxEntries: number;
  readonly maxEntryBytes: number;
  readonly maxTotalBytes: number;
}

export const defaultArchiveLimits: ArchiveLimits = {
  maxEntries: 4096,
  maxEntryBytes: 128 * 1024 * 1024,
  maxTotalBytes: 256 * 1024 * 1024,
};

/**
 * @param claims paths taken by other parts of the image; gets those of the archive
 * @throws AppError `archive.unsafe`, `archive.too-large`
 */
export async function unpackArchive(
  archivePath: string,
  folder: string,
  claims: PathClaims,
  limits: ArchiveLimits = defaultArchiveLimits,
): Promise<void> {
  const archive = await open(archivePath, 'r');
  try {
    const reader = new ArchiveReader(archive, (await archive.stat()).size);
    let entries = 0;
    let total = 0;
    for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
      entries += 1;
      total += entry.size;
      checkLimits(entry, entries, total, limits);
      if (entry.isCut) throw unsafeArchive(`ends within ${entry.path}`);
      claim(entry, claims);
      await unpackEntry(entry, reader, join(folder, entry.path));
    }
  } finally {
    await archive.close();
  }
}

function checkLimits(entry: ArchiveEntry, entries: number, total: number, limits: ArchiveLimits): void {
  if (entries > limits.maxEntries) throw tooLarge(`more than ${String(limits.maxEntries)} entries`);
  if (entry.size > limits.maxEntryBytes) {
    throw tooLarge(`${entry.path} with ${String(entry.size)} bytes, at most ${String(limits.maxEntryBytes)} are taken`);
  }
  if (total > limits.maxTotalBytes) throw tooLarge(`more than ${String(limits.maxTotalBytes)} bytes`);
}

function claim({ kind, path }: ArchiveEntry, claims: PathClaims): void {
  if (kind === 'folder') {
    if (!claims.claimFolder(path)) throw unsafeArchive(`holds ${path} twice`);
  } else if (!claims.claimFile(path)) {
    throw unsafeArchive(`holds ${path} twice, or in the place of another file`);
  }
}

async function unpackEntry(entry: ArchiveEntry, reader: ArchiveReader, target: string): Promise<void> {
  if (entry.kind === 'folder') {
    await mkdir(target, { recursive: true });
    return;
  }
  await mkdir(dirname(target), { recursive: true });
  const file = await open(target, 'wx', 0o444);
  try {
    for await (const piece of reader.content()) await file.writeFile(piece);
    await file.sync();
  } finally {
    await file.close();
  }
}

function tooLarge(what: string): AppError {
  return new AppError('archive.too-large', `the archive holds ${what}`);
}
