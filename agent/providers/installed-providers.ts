/**
 * The provider libraries that were installed: `providers/onnxruntime-<version>` in the state folder, a link
 * to the folder of the present set. Each change makes a new folder, complete with its record, and turns the
 * link to it: a kill at any instant leaves the old set or the new. The version is in the name, so that the
 * libraries of one onnxruntime are never loaded by another.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, link, mkdir, open, readdir, readFile, readlink, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { diskError, errno, syncFolder } from '#shared/platform/atomic-file.js';
import { type InstallableProvider, installableProviders, providerFiles } from './platform-providers.js';
import { runtimeFile, type RuntimeLibrary } from './runtime-library.js';

const recordSchema = z.object({
  onnxruntime: z.string(),
  providers: z.partialRecord(
    z.enum(installableProviders),
    z.object({
      at: z.string(),
      from: z.array(z.object({ source: z.string(), sha256: z.string() })),
    }),
  ),
  files: z.record(z.string(), z.object({ sha256: z.string(), bytes: z.number() })),
});
export type InstallRecord = z.infer<typeof recordSchema>;
export type InstallOrigin = NonNullable<InstallRecord['providers']['cuda']>;

const recordFile = 'installed.json';

export class InstalledProviders {
  /** What stands in the loader's path. */
  readonly current: string;

  constructor(
    readonly folder: string,
    private readonly runtime: RuntimeLibrary,
  ) {
    this.current = providersFolder(folder, runtime.version);
  }

  /** @throws AppError `state.corrupt` */
  async record(): Promise<InstallRecord | undefined> {
    let text: string;
    try {
      text = await readFile(join(this.current, recordFile), 'utf8');
    } catch (error) {
      if (errno(error) === 'ENOENT') return undefined;
      throw diskError(error, `cannot read ${this.current}`);
    }
    try {
      return recordSchema.parse(JSON.parse(text));
    } catch (error) {
      const what = `${join(this.current, recordFile)} cannot be read (${messageOf(error).split('\n', 1)[0] ?? ''})`;
      throw new AppError('state.corrupt', `${what}: remove ${this.current} and install again`, { cause: error });
    }
  }

  /** What is wrong with what is installed, for people; undefined when nothing is. */
  async damage(record: InstallRecord): Promise<string | undefined> {
    const target = await readlink(join(this.current, runtimeFile)).catch(() => undefined);
    if (target !== join(this.runtime.folder, runtimeFile)) {
      return `it was installed for the program at ${target ?? 'no place'}, which moved to ${this.runtime.folder}: install again`;
    }
    for (const [name, { sha256 }] of Object.entries(record.files)) {
      const found = await sha256Of(join(this.current, name)).catch(() => undefined);
      if (found?.sha256 !== sha256) return `${name} is not the file that was installed: install again`;
    }
    return undefined;
  }

  /** A folder beside the sets, on the same disk, to prepare one in. */
  async stage(): Promise<string> {
    const staging = join(this.folder, `.staging-${randomBytes(6).toString('hex')}`);
    try {
      await mkdir(dirname(this.folder), { recursive: true, mode: 0o700 });
      // For whoever may enter the state folder: the agent may be another user than the one who installs.
      await mkdir(join(staging, 'set'), { recursive: true, mode: 0o755 });
    } catch (error) {
      throw diskError(error, `cannot prepare ${staging} (is the state folder writable? --state-dir names another)`);
    }
    return staging;
  }

  /** @param files names of the provider's libraries in `set` of the staging folder */
  async commit(staging: string, provider: InstallableProvider, origin: InstallOrigin): Promise<InstallRecord> {
    const before = await this.record();
    const providers = { ...before?.providers, [provider]: origin };
    return this.replace(staging, providers, before);
  }

  /** @returns false when it was not installed */
  async remove(provider: InstallableProvider): Promise<boolean> {
    const before = await this.record();
    if (before?.providers[provider] === undefined) return false;
    const { [provider]: _, ...rest } = before.providers;
    if (Object.keys(rest).length === 0) {
      await rm(this.current, { force: true });
      await this.sweep(undefined);
      return true;
    }
    const staging = await this.stage();
    await this.replace(staging, rest, before);
    return true;
  }

  private async replace(
    staging: string,
    providers: InstallRecord['providers'],
    before: InstallRecord | undefined,
  ): Promise<InstallRecord> {
    const set = join(staging, 'set');
    const name = `set-${randomBytes(6).toString('hex')}`;
    try {
      const wanted = new Set(
        installableProviders.flatMap((one) => (providers[one] === undefined ? [] : providerFiles[one])),
      );
      const present = new Set(await readdir(set));
      const kept = Object.keys(before?.files ?? {}).filter((file) => wanted.has(file) && !present.has(file));
      for (const file of kept) await linkOrCopy(join(this.current, file), join(set, file));
      const files: InstallRecord['files'] = {};
      for (const file of [...wanted].sort()) files[file] = await settle(join(set, file));
      const record: InstallRecord = { onnxruntime: this.runtime.version, providers, files };
      await symlink(join(this.runtime.folder, runtimeFile), join(set, runtimeFile));
      await writeSynced(join(set, recordFile), `${JSON.stringify(record, null, 2)}\n`);
      await syncFolder(set);
      await rename(set, join(this.folder, name));
      await symlink(name, join(staging, 'link'));
      await rename(join(staging, 'link'), this.current);
      await syncFolder(this.folder);
      await this.sweep(name);
      return record;
    } catch (error) {
      throw error instanceof AppError ? error : diskError(error, `cannot install into ${this.folder}`);
    } finally {
      await rm(staging, { recursive: true, force: true });
    }
  }

  /** Sets that nothing leads to: replaced ones, and those of an install that was cut off. */
  private async sweep(keep: string | undefined): Promise<void> {
    for (const entry of await readdir(this.folder)) {
      if (entry !== keep && (entry.startsWith('set-') || entry.startsWith('.staging-')) && !(await this.isLed(entry))) {
        await rm(join(this.folder, entry), { recursive: true, force: true });
      }
    }
  }

  /** By the link of another version of onnxruntime, which another copy of the agent may be. */
  private async isLed(set: string): Promise<boolean> {
    const links = (await readdir(this.folder)).filter((entry) => entry.startsWith('onnxruntime-'));
    for (const one of links) {
      if ((await readlink(join(this.folder, one)).catch(() => undefined)) === set) return true;
    }
    return false;
  }
}

/** The folder that scoring hosts are to look for libraries in. */
export function providersFolder(folder: string, version: string): string {
  return join(folder, `onnxruntime-${version}`);
}

async function settle(path: string): Promise<{ sha256: string; bytes: number }> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  return sha256Of(path);
}

async function sha256Of(path: string): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { sha256: hash.digest('hex'), bytes };
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch {
    await copyFile(from, to);
  }
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o644);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
