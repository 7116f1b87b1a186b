// The files that an archive will hold, by their path in it.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

export interface PackedFile {
  readonly bytes: () => Buffer;
  readonly size: number;
  readonly executable: boolean;
}

export type FileSet = Map<string, PackedFile>;

export function addText(files: FileSet, path: string, text: string, executable = false): void {
  const bytes = Buffer.from(text);
  files.set(path, { bytes: () => bytes, size: bytes.length, executable });
}

export function addFile(files: FileSet, path: string, from: string, executable = false): void {
  files.set(path, { bytes: () => readFileSync(from), size: statSync(from).size, executable });
}

/** All below a folder that `takes` takes, by its path in it; what is executable stays so. */
export function addFolder(files: FileSet, path: string, from: string, takes: (file: string) => boolean): void {
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const inside = relative(from, file);
    if (takes(inside)) addFile(files, `${path}/${inside}`, file, (statSync(file).mode & 0o100) !== 0);
  }
}

/** Bytes below each first folder, or the two first, for the table that a build prints. */
export function sizes(files: FileSet, depth: (path: string) => string): [string, number][] {
  const sums = new Map<string, number>();
  for (const [path, { size }] of files) sums.set(depth(path), (sums.get(depth(path)) ?? 0) + size);
  return [...sums].sort((a, b) => b[1] - a[1]);
}
