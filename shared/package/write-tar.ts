/**
 * A tar of any size, made as it is read: its bytes depend on the entries alone, in order of path, of owner root and of
 * one time. What is read of the disk is not held in memory.
 */
import { createReadStream } from 'node:fs';
import { Header, Pax } from 'tar';

export type TarEntry = { readonly path: string } & (
  | { readonly kind: 'folder'; readonly mode: number }
  | { readonly kind: 'link'; readonly to: string }
  | { readonly kind: 'bytes'; readonly mode: number; readonly bytes: Uint8Array }
  /** `size` bytes of the file `from`, beginning at `offset`. */
  | { readonly kind: 'file'; readonly mode: number; readonly from: string; readonly size: number }
  | { readonly kind: 'stream'; readonly mode: number; readonly size: number; open(): AsyncIterable<Uint8Array> }
);

const block = 512;
const everyTime = new Date(0);
const types = { folder: 'Directory', link: 'SymbolicLink', bytes: 'File', file: 'File', stream: 'File' } as const;

/** @throws Error when a file has no longer as many bytes as its entry says */
export async function* writeTar(entries: readonly TarEntry[]): AsyncGenerator<Uint8Array> {
  for (const entry of [...entries].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))) {
    yield headerOf(entry);
    const size = sizeOf(entry);
    let written = 0;
    for await (const piece of contentOf(entry)) {
      written += piece.length;
      if (written > size) break;
      yield piece;
    }
    if (written !== size) throw new Error(`${entry.path} changed while it was read`);
    if (size % block !== 0) yield new Uint8Array(block - (size % block));
  }
  yield new Uint8Array(2 * block);
}

/** Of the whole tar, in bytes. */
export function tarSize(entries: readonly TarEntry[]): number {
  const padded = (size: number): number => Math.ceil(size / block) * block;
  return entries.reduce((sum, entry) => sum + headerOf(entry).length + padded(sizeOf(entry)), 2 * block);
}

function sizeOf(entry: TarEntry): number {
  if (entry.kind === 'folder' || entry.kind === 'link') return 0;
  return entry.kind === 'bytes' ? entry.bytes.length : entry.size;
}

async function* contentOf(entry: TarEntry): AsyncIterable<Uint8Array> {
  if (entry.kind === 'bytes') yield entry.bytes;
  else if (entry.kind === 'stream') yield* entry.open();
  else if (entry.kind === 'file')
    yield* createReadStream(entry.from, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>;
}

/** With an extended header before it where a path does not fit. */
function headerOf(entry: TarEntry): Uint8Array {
  const fields = {
    path: entry.kind === 'folder' ? `${entry.path}/` : entry.path,
    size: sizeOf(entry),
    mode: entry.kind === 'link' ? 0o777 : entry.mode,
    ...(entry.kind === 'link' ? { linkpath: entry.to } : {}),
    ...{ type: types[entry.kind], uid: 0, gid: 0, mtime: everyTime },
  };
  const header = new Header(fields);
  const bytes = Buffer.alloc(block);
  if (!header.encode(bytes)) return bytes;
  const { path, size, linkpath } = header;
  const extended = new Pax(
    { path: path ?? '', size: size ?? 0, ...(linkpath === undefined ? {} : { linkpath }) },
    false,
  );
  return Buffer.concat([extended.encode(), bytes]);
}
