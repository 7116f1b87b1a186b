/**
 * Installs the libraries of one execution provider: fetched, held against the digests that were given, taken
 * out of their archive, held against what this onnxruntime can load, and only then put in place.
 */
import { open, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { takeLibraries } from './archive-libraries.js';
import { type FetchLimits, fetchSource } from './fetch-source.js';
import type { InstalledProviders, InstallRecord } from './installed-providers.js';
import type { LibrarySource } from './library-source.js';
import { type InstallableProvider, originOf, platformsOf, providerFiles } from './platform-providers.js';

export interface InstallOrder {
  readonly provider: InstallableProvider;
  readonly sources: readonly LibrarySource[];
  /** The version of onnxruntime that the libraries were built for, where no archive says it. */
  readonly builtFor: string | undefined;
}

export interface InstallPorts {
  readonly installed: InstalledProviders;
  /** The version of onnxruntime that will load them. */
  readonly runtimeVersion: string;
  readonly platform: string;
  readonly clock: Clock;
  readonly limits: FetchLimits;
  readonly onProgress: (line: string) => void;
}

export const defaultFetchLimits: FetchLimits = { maxBytes: 1024 * 1024 * 1024, idleMs: 60_000 };

/** @throws AppError that says what to do; nothing has changed then */
export async function installProvider(order: InstallOrder, ports: InstallPorts): Promise<InstallRecord> {
  const { provider, sources } = order;
  const { installed, platform, onProgress } = ports;
  if (originOf(provider, platform) !== 'to-install') {
    throw new AppError(
      'request.invalid',
      `onnxruntime has ${provider} on ${platformsOf(provider).join(', ')} only; this is ${platform}`,
    );
  }
  if (order.builtFor !== undefined) checkVersion(order.builtFor, '--built-for', ports);
  const wanted = providerFiles[provider];
  const staging = await installed.stage();
  const set = join(staging, 'set');
  try {
    for (const [index, source] of sources.entries()) {
      const path = join(staging, `source-${String(index)}`);
      onProgress(`fetching ${source.shown}`);
      await fetchSource(source, path, ports.limits);
      const name = basename(source.kind === 'url' ? source.url.pathname : source.path);
      const taken = await takeLibraries(path, name, wanted, set);
      await rm(path);
      if (taken.version !== undefined) checkVersion(taken.version, source.shown, ports);
      else if (order.builtFor === undefined) throw unknownVersion(source, ports);
      onProgress(`took ${taken.names.length === 0 ? 'nothing' : taken.names.join(', ')} from it`);
    }
    await checkComplete(set, wanted, ports);
    for (const name of await readdir(set)) await checkLibrary(join(set, name), name);
    const from = sources.map(({ shown, sha256 }) => ({ source: shown, sha256 }));
    return await installed.commit(staging, provider, { at: toInstant(ports.clock.now()), from });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

function checkVersion(version: string, where: string, { runtimeVersion }: InstallPorts): void {
  if (version === runtimeVersion) return;
  throw new AppError(
    'request.invalid',
    `${where} is for onnxruntime ${version}; this program runs ${runtimeVersion}, and loads libraries of that version only`,
  );
}

function unknownVersion({ shown }: LibrarySource, { runtimeVersion }: InstallPorts): AppError {
  return new AppError(
    'request.invalid',
    `${shown} does not say which onnxruntime it is for: give --built-for ${runtimeVersion} if you know that it is`,
  );
}

async function checkComplete(set: string, wanted: readonly string[], { installed }: InstallPorts): Promise<void> {
  const there = new Set([...(await readdir(set)), ...Object.keys((await installed.record())?.files ?? {})]);
  const missing = wanted.filter((name) => !there.has(name));
  if (missing.length > 0) {
    throw new AppError('request.invalid', `${missing.join(' and ')} was in none of the sources: nothing was installed`);
  }
}

/** A 64-bit shared library of x86: another machine's would be found out by a host that does not start. */
async function checkLibrary(path: string, name: string): Promise<void> {
  const file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(20), 0, 20, 0).finally(() => file.close());
  const isLibrary =
    bytesRead === 20 &&
    buffer.readUInt32BE(0) === 0x7f454c46 &&
    buffer[4] === 2 &&
    buffer.readUInt16LE(16) === 3 &&
    buffer.readUInt16LE(18) === 0x3e;
  if (!isLibrary) throw new AppError('archive.unsafe', `${name} is no library for 64-bit Linux on x86`);
}
