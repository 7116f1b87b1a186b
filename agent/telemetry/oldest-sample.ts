/** Captured samples are what a full disk costs first. */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** @returns whether there was one */
export async function removeOldestSample(folder: string): Promise<boolean> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  let oldest: { path: string; modifiedMs: number } | undefined;
  for (const name of names.filter((each) => each.endsWith('.jsonl'))) {
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() !== true) continue;
    if (oldest === undefined || found.mtimeMs < oldest.modifiedMs) oldest = { path, modifiedMs: found.mtimeMs };
  }
  if (oldest === undefined) return false;
  await rm(oldest.path, { force: true });
  return true;
}
