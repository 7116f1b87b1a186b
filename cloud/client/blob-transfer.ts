/**
 * Whole files to and from the blob store. What the server has is not sent again; what comes is
 * hashed on the way, fsynced, and gets its name only when the digest is right.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { AppError } from '#shared/kernel/errors.js';
import { diskError, errno } from '#shared/platform/atomic-file.js';
import type { FlotillaClient } from './flotilla-client.js';
import { connectionError } from './http-transport.js';

/** Bytes done so far, out of the whole. */
export type OnBytes = (done: number, total: number) => void;

export interface LocalFile {
  readonly path: string;
  readonly digest: string;
  readonly size: number;
}

/** @returns false when the server had it already */
export async function uploadFile(client: FlotillaClient, file: LocalFile, onBytes: OnBytes): Promise<boolean> {
  if (await client.hasBlob(file.digest)) return false;
  await client.putBlob(file.digest, { size: file.size, open: () => countedReader(file, onBytes) });
  return true;
}

function countedReader(file: LocalFile, onBytes: OnBytes): Readable {
  let done = 0;
  const counter = new Transform({
    transform(piece: Buffer, _encoding, next) {
      done += piece.length;
      onBytes(done, file.size);
      next(null, piece);
    },
  });
  const reader = createReadStream(file.path);
  reader.on('error', (error) => counter.destroy(readError(error, file.path)));
  counter.on('close', () => reader.destroy());
  return reader.pipe(counter);
}

function readError(error: unknown, path: string): AppError {
  return errno(error) === 'ENOENT'
    ? new AppError('request.invalid', `${path}: there is no such file`, { cause: error })
    : diskError(error, `cannot read ${path}`);
}

/** Fetches one blob to `target.path`. A connection that breaks midway is tried once more from the start. */
export async function downloadFile(client: FlotillaClient, target: LocalFile, onBytes: OnBytes): Promise<void> {
  const temporary = `${target.path}.part`;
  await mkdir(dirname(target.path), { recursive: true });
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        await fetchInto(client, target, temporary, onBytes);
        break;
      } catch (error) {
        const lost = error instanceof AppError && error.code === 'server.unreachable';
        if (!lost || attempt >= 2) throw error;
      }
    }
    await rename(temporary, target.path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error instanceof AppError ? error : diskError(error, `cannot write ${target.path}`);
  }
}

async function fetchInto(client: FlotillaClient, target: LocalFile, path: string, onBytes: OnBytes): Promise<void> {
  const answer = await client.openBlob(target.digest);
  const hash = createHash('sha256');
  let done = 0;
  const file = await open(path, 'w');
  try {
    const pieces = (answer as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    for (;;) {
      const next = await pieces.next().catch((error: unknown) => {
        throw connectionError(error, client.url, client.signal);
      });
      if (next.done) break;
      done += next.value.length;
      if (done > target.size) break;
      hash.update(next.value);
      await file.appendFile(next.value);
      onBytes(done, target.size);
    }
    await file.sync();
  } finally {
    answer.destroy();
    await file.close();
  }
  if (done !== target.size || `sha256:${hash.digest('hex')}` !== target.digest) {
    throw new AppError(
      'blob.digest-mismatch',
      `what the server sent for ${target.digest} is something else; nothing of it was kept; the blob on the server may be corrupt`,
    );
  }
}
