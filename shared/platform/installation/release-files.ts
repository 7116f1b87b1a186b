/**
 * The files of a release: what an unpacked archive holds, each with its digest in SHA256SUMS. What was
 * cut short while it was unpacked or copied is found here, not when it first runs.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { diskError, syncFolder } from '../atomic-file.js';

export const releaseFile = 'release.json';
export const sumsFile = 'SHA256SUMS';

export const releaseSchema = z.object({
  schema: z.literal(1),
  name: z.string(),
  version: z.string(),
  platform: z.string(),
  node: z.string(),
});
export type ReleaseFacts = z.output<typeof releaseSchema>;

export interface Release {
  readonly facts: ReleaseFacts;
  /** Where it lies. */
  readonly folder: string;
  /** Of its own among releases: version and the beginning of the digest of all it holds. */
  readonly id: string;
}

/** The release that a file is part of; undefined where it is part of none, as in a checkout. */
export function releaseAround(file: string): Release | undefined {
  for (let folder = dirname(fileURLToPath(file)); folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, releaseFile)) && existsSync(join(folder, sumsFile))) return readRelease(folder);
  }
  return undefined;
}

function readRelease(folder: string): Release {
  try {
    const facts = releaseSchema.parse(JSON.parse(readFileSync(join(folder, releaseFile), 'utf8')));
    const sums = readFileSync(join(folder, sumsFile));
    return { facts, folder, id: `${facts.version}-${createHash('sha256').update(sums).digest('hex').slice(0, 12)}` };
  } catch (error) {
    throw damaged(join(folder, releaseFile), messageOf(error), error);
  }
}

/** Lines of `sha256sum`. @throws AppError `state.corrupt` for another line, or a path that leads out */
export function readSums(text: string): ReadonlyMap<string, string> {
  const sums = new Map<string, string>();
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [, digest, path] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? [];
    const isInside = path !== undefined && !posix.isAbsolute(path) && !path.split('/').includes('..');
    if (digest === undefined || !isInside) throw damaged(sumsFile, `this is no line of it: ${line.slice(0, 120)}`);
    sums.set(path, digest);
  }
  return sums;
}

/** Whether a copy is there, with every byte in its place. */
export async function isWhole(folder: string, sums: ReadonlyMap<string, string>): Promise<boolean> {
  for (const [path, digest] of sums) {
    const bytes = await readFile(join(folder, path)).catch(() => undefined);
    if (bytes === undefined || sha256(bytes) !== digest) return false;
  }
  return true;
}

/**
 * Copies a release, synced and in place at once.
 *
 * @throws AppError `state.corrupt` where a file is not what the release says, `disk.full`, `disk.failed`
 */
export async function copyRelease(from: string, to: string): Promise<'done' | 'unchanged'> {
  const sums = await readFile(join(from, sumsFile), 'utf8');
  const files = readSums(sums);
  if ((await readFile(join(to, sumsFile), 'utf8').catch(() => '')) === sums && (await isWhole(to, files))) {
    return 'unchanged';
  }
  const fresh = `${to}.new`;
  try {
    await rm(fresh, { recursive: true, force: true });
    const folders = new Set<string>([fresh]);
    for (const [path, digest] of files) {
      const bytes = await readFile(join(from, path)).catch((error: unknown) => {
        throw damaged(join(from, path), messageOf(error), error);
      });
      if (sha256(bytes) !== digest) throw damaged(join(from, path), 'it is not what SHA256SUMS says');
      const isProgram = ((await stat(join(from, path))).mode & 0o100) !== 0;
      await writeSynced(join(fresh, path), bytes, isProgram ? 0o755 : 0o644);
      // Whatever the umask of who installs: they are chmodded below.
      for (let at = dirname(join(fresh, path)); !folders.has(at); at = dirname(at)) folders.add(at);
    }
    await writeSynced(join(fresh, sumsFile), Buffer.from(sums), 0o644);
    for (const folder of folders) {
      await chmod(folder, 0o755);
      await syncFolder(folder);
    }
    await rm(to, { recursive: true, force: true });
    await rename(fresh, to);
    await syncFolder(dirname(to));
    return 'done';
  } catch (error) {
    await rm(fresh, { recursive: true, force: true }).catch(() => undefined);
    throw error instanceof AppError ? error : diskError(error, `cannot copy the programs to ${to}`);
  }
}

async function writeSynced(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  const file = await open(path, 'wx', mode);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  // Whatever the umask of who installs.
  await chmod(path, mode);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function damaged(path: string, what: string, cause?: unknown): AppError {
  return new AppError(
    'state.corrupt',
    `${path}: ${what}; the archive was not unpacked whole: unpack it again, and check it with sha256sum -c ${sumsFile}`,
    { cause },
  );
}
