// A gzipped tar whose bytes depend on what it holds alone: owner root, one time, in order of path.
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { Header } from 'tar';

export type TarEntry =
  | { readonly path: string; readonly mode: number; readonly bytes: () => Buffer }
  | { readonly path: string; readonly mode: number; readonly folder: true }
  | { readonly path: string; readonly linkTo: string };

const block = 512;
/** As npm's packages have it: some tools complain of the beginning of time. */
export const everyTime = new Date('1985-10-26T08:15:00Z');

/** @returns the digest of the file written, and its size */
export async function writeTarGz(
  entries: readonly TarEntry[],
  target: string,
): Promise<{ readonly sha256: string; readonly size: number }> {
  const hash = createHash('sha256');
  let size = 0;
  const count = new Transform({
    transform(piece: Buffer, _encoding, done) {
      hash.update(piece);
      size += piece.length;
      done(null, piece);
    },
  });
  await pipeline(Readable.from(tarPieces(entries)), createGzip({ level: 6 }), count, createWriteStream(target));
  return { sha256: hash.digest('hex'), size };
}

export function* tarPieces(entries: readonly TarEntry[]): Generator<Buffer> {
  for (const entry of [...entries].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    const bytes = 'bytes' in entry ? entry.bytes() : Buffer.alloc(0);
    yield headerOf(entry, bytes.length);
    if (bytes.length === 0) continue;
    yield bytes;
    if (bytes.length % block !== 0) yield Buffer.alloc(block - (bytes.length % block));
  }
  yield Buffer.alloc(2 * block);
}

function headerOf(entry: TarEntry, size: number): Buffer {
  const header = new Header({
    path: entry.path,
    mode: 'mode' in entry ? entry.mode : 0o777,
    size,
    type: 'linkTo' in entry ? 'SymbolicLink' : 'folder' in entry ? 'Directory' : 'File',
    ...('linkTo' in entry ? { linkpath: entry.linkTo } : {}),
    uid: 0,
    gid: 0,
    uname: 'root',
    gname: 'root',
    mtime: everyTime,
  });
  const bytes = Buffer.alloc(block);
  if (header.encode(bytes)) throw new Error(`a path too long or not plain for a tar header: ${entry.path}`);
  return bytes;
}
