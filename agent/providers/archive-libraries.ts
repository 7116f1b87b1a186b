/**
 * Takes provider libraries out of what was fetched: a .nupkg or .whl, a .tgz, or one library itself. Only
 * the expected names are taken, wherever they lie in it, and written under those names into one folder: a
 * path of the archive never becomes one of ours. The version that an archive says it is of comes along.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, open } from 'node:fs/promises';
import { once } from 'node:events';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { Parser, type ReadEntry } from 'tar';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { ZipFile } from './zip-file.js';

export interface Taken {
  readonly names: readonly string[];
  /** Of onnxruntime, as the archive says; undefined where it does not. */
  readonly version: string | undefined;
}

const maxLibraryBytes = 1024 * 1024 * 1024;
const maxVersionFile = 1024 * 1024;

/** @throws AppError `archive.unsafe`, `archive.too-large`, `request.invalid` */
export async function takeLibraries(
  archive: string,
  /** Its name at its source: that of a single library. */
  sourceName: string,
  wanted: readonly string[],
  folder: string,
): Promise<Taken> {
  switch (await formOf(archive)) {
    case 'zip':
      return takeFromZip(archive, wanted, folder);
    case 'gzip':
      return takeFromTar(archive, wanted, folder);
    case 'elf': {
      if (!wanted.includes(sourceName)) {
        throw new AppError('request.invalid', `"${sourceName}" is not one of the files needed: ${wanted.join(', ')}`);
      }
      await copyFile(archive, join(folder, sourceName));
      return { names: [sourceName], version: undefined };
    }
    case 'other':
      throw unsafe(`"${sourceName}" is neither a .nupkg, .whl or .zip, nor a .tgz, nor a library of Linux`);
  }
}

async function formOf(path: string): Promise<'zip' | 'gzip' | 'elf' | 'other'> {
  const file = await open(path, 'r');
  const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0).finally(() => file.close());
  if (buffer.readUInt32BE(0) === 0x504b0304) return 'zip';
  if (buffer.readUInt32BE(0) === 0x7f454c46) return 'elf';
  return buffer.readUInt16BE(0) === 0x1f8b ? 'gzip' : 'other';
}

async function takeFromZip(archive: string, wanted: readonly string[], folder: string): Promise<Taken> {
  const zip = await ZipFile.open(archive);
  try {
    const names: string[] = [];
    let version: string | undefined;
    for (const entry of zip.entries) {
      const name = wantedName(entry.name, wanted);
      if (name !== undefined) {
        if (names.includes(name)) throw unsafe(`${name} is in it twice`);
        if (!entry.isPlainFile) throw unsafe(`${name} is no plain file in it`);
        await write(await zip.read(entry), entry.size, join(folder, name), name);
        names.push(name);
      } else if (saysVersion(entry.name) && entry.size <= maxVersionFile) {
        version ??= versionIn(entry.name, await textOf(await zip.read(entry)));
      }
    }
    return { names, version };
  } finally {
    await zip.close();
  }
}

async function takeFromTar(archive: string, wanted: readonly string[], folder: string): Promise<Taken> {
  const names: string[] = [];
  const writing: Promise<void>[] = [];
  let version: string | undefined;
  const take = (entry: ReadEntry): Promise<void> | undefined => {
    const name = wantedName(entry.path, wanted);
    if (name !== undefined) {
      if (names.includes(name)) throw unsafe(`${name} is in it twice`);
      if (entry.type !== 'File' && entry.type !== 'OldFile') throw unsafe(`${name} is no plain file in it`);
      names.push(name);
      return write(entry, entry.size, join(folder, name), name);
    }
    if (!saysVersion(entry.path) || entry.size > maxVersionFile) return undefined;
    return textOf(entry).then((text) => {
      version ??= versionIn(entry.path, text);
    });
  };
  try {
    for await (const entry of entriesOf(createReadStream(archive).pipe(createGunzip()), writing)) {
      const taking = take(entry);
      if (taking === undefined) entry.resume();
      else writing.push(taking);
    }
    await Promise.all(writing);
  } catch (error) {
    await Promise.allSettled(writing);
    throw error instanceof AppError ? error : unsafe(`it is damaged or cut off (${messageOf(error)})`);
  }
  return { names, version };
}

/** Gives each entry before more is unpacked; what was begun with one is waited for before the next. */
async function* entriesOf(packed: AsyncIterable<Buffer>, begun: readonly Promise<void>[]): AsyncGenerator<ReadEntry> {
  const parser = new Parser({ strict: true, brotli: false, zstd: false });
  const found: ReadEntry[] = [];
  let broken: unknown;
  parser.on('entry', (entry: ReadEntry) => found.push(entry));
  parser.on('error', (error) => {
    broken ??= error;
  });
  for await (const chunk of bounded(packed)) {
    const roomLeft = parser.write(chunk);
    yield* found.splice(0);
    if (broken !== undefined) throw broken instanceof Error ? broken : new Error('it is no tar');
    if (!roomLeft) await Promise.race([once(parser, 'drain'), failureOf(begun)]);
    yield* found.splice(0);
  }
  parser.end();
  yield* found.splice(0);
  if (broken !== undefined) throw broken instanceof Error ? broken : new Error('it is no tar');
}

/** A writer that failed reads no more, and room never comes. */
function failureOf(begun: readonly Promise<void>[]): Promise<never> {
  return new Promise((_, reject) => {
    for (const one of begun) one.catch(reject);
  });
}

/** What a gigabyte of nothing packs into is small. */
async function* bounded(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of content) {
    bytes += chunk.length;
    if (bytes > 2 * maxLibraryBytes) throw tooLarge('what it unpacks to');
    yield chunk;
  }
}

/** The expected name at the end of the path; a path that leads out of the archive is an attack. */
function wantedName(path: string, wanted: readonly string[]): string | undefined {
  const name = basename(path);
  if (!wanted.includes(name)) return undefined;
  if (path.startsWith('/') || path.includes('\\') || path.split('/').includes('..')) {
    throw unsafe(`"${path.slice(0, 200)}" leads out of it`);
  }
  return name;
}

/** A .nupkg has a .nuspec, a .whl METADATA, onnxruntime's own .tgz VERSION_NUMBER. */
function saysVersion(path: string): boolean {
  return /^[^/]+\.nuspec$|^[^/]+\.dist-info\/METADATA$|^[^/]+\/VERSION_NUMBER$/.test(path);
}

function versionIn(path: string, text: string): string | undefined {
  if (path.endsWith('.nuspec')) return /<version>\s*([0-9][\w.+-]*)\s*<\/version>/.exec(text)?.[1];
  if (path.endsWith('METADATA')) return /^Version: *([0-9][\w.+-]*) *\r?$/m.exec(text)?.[1];
  return /^\s*([0-9][\w.+-]*)\s*$/.exec(text)?.[1];
}

async function write(content: AsyncIterable<Uint8Array>, size: number, path: string, name: string): Promise<void> {
  if (size > maxLibraryBytes) throw tooLarge(name);
  let bytes = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of content) {
      bytes += chunk.length;
      yield chunk;
    }
  };
  await pipeline(counted, createWriteStream(path, { flags: 'wx', mode: 0o644 }));
  if (bytes !== size) throw unsafe(`${name} is cut off in it`);
}

async function textOf(content: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function unsafe(what: string): AppError {
  return new AppError('archive.unsafe', `the archive cannot be used: ${what}`);
}

function tooLarge(what: string): AppError {
  return new AppError('archive.too-large', `${what} is larger than any library of onnxruntime: nothing was installed`);
}
