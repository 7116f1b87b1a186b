/**
 * An image as an engine hands it out (`docker save`): its layers with the digests that its configuration names, which
 * the engine checks when it takes them again. Both forms are read: folders of layers, and an OCI layout beside them.
 */
import { createReadStream, createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type { Readable } from 'node:stream';
import { Parser, type ReadEntry } from 'tar';
import * as z from 'zod';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { diskError } from '#shared/platform/atomic-file.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { digestSchema } from '#shared/protocol/primitives.js';
import type { Layer } from './layer.js';

export interface SavedImage {
  readonly layers: readonly Layer[];
  /** `NAME=value`. */
  readonly env: readonly string[];
  readonly architecture: string;
}

interface SavedFile {
  readonly path: string;
  readonly size: number;
}

const maxJsonBytes = 4 * 1024 * 1024;
const maxEntries = 10_000;
const layersOf = z.array(z.string().min(1)).max(500);
const manifestSchema = z.array(z.object({ Config: z.string().min(1), Layers: layersOf })).length(1);
const configSchema = z.object({
  architecture: z.string(),
  os: z.literal('linux'),
  config: z.object({ Env: z.array(z.string()).nullish() }).nullish(),
  rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(digestSchema).max(500) }),
});

/**
 * @param folder for its files, which its layers are read from; it is made anew
 * @throws AppError `image.invalid`, `disk.full` and what reading the archive fails with
 */
export async function readSavedImage(archive: Readable, folder: string, maxBytes: number): Promise<SavedImage> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const files = await unpack(archive, folder, maxBytes);
  const manifest = (await json(files, 'manifest.json', manifestSchema))[0];
  if (manifest === undefined) throw invalid('it names no image');
  const { architecture, config, rootfs } = await json(files, manifest.Config, configSchema);
  if (rootfs.diff_ids.length !== manifest.Layers.length)
    throw invalid('it has not as many layers as its configuration names');
  const layers = manifest.Layers.map((name, index): Layer => {
    const { path, size } = found(files, name);
    const digest = rootfs.diff_ids[index];
    if (digest === undefined) throw invalid(`its layer ${name} has no digest`);
    return { digest, size, open: () => createReadStream(path) as AsyncIterable<Buffer> };
  });
  return { layers, env: config?.Env ?? [], architecture };
}

async function unpack(archive: Readable, folder: string, maxBytes: number): Promise<Map<string, SavedFile>> {
  const files = new Map<string, SavedFile>();
  const links = new Map<string, string>();
  const writers: WriteStream[] = [];
  let bytes = 0;
  let count = 0;
  await new Promise<void>((resolve, reject) => {
    let failed = false;
    const fail = (error: unknown): void => {
      if (failed) return;
      failed = true;
      archive.destroy();
      for (const writer of writers) writer.destroy();
      // A file that is still being opened would be in the way of who removes the folder.
      void Promise.all(writers.map(gone)).then(() => {
        reject(error instanceof AppError ? error : invalid(messageOf(error)));
      });
    };
    const onReadEntry = (entry: ReadEntry): void => {
      if (failed) {
        entry.resume();
        return;
      }
      const name = posix.normalize(entry.path);
      bytes += entry.size;
      count += 1;
      if (bytes > maxBytes || count > maxEntries) {
        fail(invalid(`it has more than ${String(maxBytes)} bytes or ${String(maxEntries)} entries`));
      } else if (entry.type === 'SymbolicLink') {
        // Of a layer that stands there twice.
        links.set(name, posix.normalize(posix.join(posix.dirname(name), entry.linkpath ?? '')));
        entry.resume();
      } else if (entry.type === 'File' || entry.type === 'OldFile') {
        const path = join(folder, String(count));
        files.set(name, { path, size: entry.size });
        const writer = createWriteStream(path, { mode: 0o600 });
        writers.push(writer);
        writer.on('error', (error) => fail(diskError(error, 'cannot unpack the base image')));
        entry.pipe(writer as unknown as Parameters<ReadEntry['pipe']>[0]);
      } else entry.resume();
    };
    const parser = new Parser({ strict: true, onReadEntry });
    parser.on('error', fail);
    parser.on('end', resolve);
    archive.on('error', fail);
    archive.on('data', (piece: Buffer) => {
      if (!parser.write(piece)) {
        archive.pause();
        parser.once('drain', () => archive.resume());
      }
    });
    archive.on('end', () => parser.end());
  });
  await Promise.all(writers.map(closed));
  for (const [name, to] of links) {
    const file = files.get(to);
    if (file !== undefined) files.set(name, file);
  }
  return files;
}

/** However it ended. */
function gone(writer: WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (writer.closed) resolve();
    else writer.once('close', resolve);
  });
}

/** All that came is in the file. */
function closed(writer: WriteStream): Promise<void> {
  return new Promise((resolve, reject) => {
    if (writer.closed) resolve();
    writer.on('close', resolve);
    writer.on('error', reject);
  });
}

async function json<S extends z.ZodType>(
  files: ReadonlyMap<string, SavedFile>,
  name: string,
  schema: S,
): Promise<z.output<S>> {
  const { path, size } = found(files, name);
  if (size > maxJsonBytes) throw invalid(`its ${name} is too large`);
  const decoded = decodeMessage(schema, await readFile(path), maxJsonBytes);
  if (decoded.ok) return decoded.value;
  throw invalid(`its ${name} is not understood: ${decoded.error.message}`);
}

function found(files: ReadonlyMap<string, SavedFile>, name: string): SavedFile {
  const file = files.get(posix.normalize(name));
  if (file === undefined) throw invalid(`it lacks ${name}`);
  return file;
}

function invalid(why: string): AppError {
  return new AppError('image.invalid', `the base image cannot be read as the container engine hands it out: ${why}`);
}
