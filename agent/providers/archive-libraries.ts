/**
 * Takes provider libraries out of what was fetched: a .nupkg or .whl, a .tgz, or one library itself. Only
 * the expected names are taken, wherever they lie in it, and written under those names into one folder: a
 * path of the archive never becomes one of ours. The version that an archive says it is of comes along.
 */
import { createWriteStream } from 'node:fs';
import { copyFile, open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { list, type ReadEntry } from 'tar';
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
        if (entry.size > maxLibraryBytes) throw tooLarge(name);
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
  const contents: PassThrough[] = [];
  let version: string | undefined;
  // The parser lets an entry run on at once: it needs a place to run to now.
  const contentOf = (entry: ReadEntry): PassThrough => {
    const content = new PassThrough();
    contents.push(content);
    entry.pipe(content as unknown as Parameters<ReadEntry['pipe']>[0]);
    return content;
  };
  const take = (entry: ReadEntry): void => {
    const name = wantedName(entry.path, wanted);
    if (name !== undefined) {
      if (names.includes(name)) throw unsafe(`${name} is in it twice`);
      if (entry.type !== 'File' && entry.type !== 'OldFile') throw unsafe(`${name} is no plain file in it`);
      if (entry.size > maxLibraryBytes) throw tooLarge(name);
      names.push(name);
      writing.push(write(contentOf(entry), entry.size, join(folder, name), name));
    } else if (saysVersion(entry.path) && entry.size <= maxVersionFile) {
      const { path } = entry;
      writing.push(
        textOf(contentOf(entry)).then((text) => {
          version ??= versionIn(path, text);
        }),
      );
    }
  };
  let refused: AppError | undefined;
  const onReadEntry = (entry: ReadEntry): void => {
    try {
      if (refused === undefined) take(entry);
    } catch (error) {
      refused = error instanceof AppError ? error : unsafe(messageOf(error));
    }
  };
  try {
    await list({ file: archive, strict: true, onReadEntry });
  } catch (error) {
    refused ??= unsafe(`it is damaged or cut off (${messageOf(error)})`);
    // What was cut off has no end of its own.
    for (const content of contents) content.destroy(refused);
  }
  const written = await Promise.allSettled(writing);
  if (refused !== undefined) throw refused;
  for (const one of written) if (one.status === 'rejected') throw one.reason;
  return { names, version };
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
