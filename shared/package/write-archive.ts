/** Writes a code archive. The bytes depend on the files alone: owner root, mode 0444, time zero, in order of path. */
import { Header, Pack, ReadEntry } from 'tar';

export interface ArchiveFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

export async function writeArchive(files: readonly ArchiveFile[]): Promise<Uint8Array> {
  const pack = new Pack({ strict: true, noPax: true });
  // Asked for first, so that each file has gone through when the next is added.
  const archive = pack.concat();
  for (const { path, bytes } of [...files].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    const entry = new ReadEntry(headerOf(path, bytes.length));
    pack.add(entry);
    if (bytes.length > 0) entry.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    entry.end();
  }
  pack.end();
  return archive;
}

function headerOf(path: string, size: number): Header {
  const header = new Header({ path, size, mode: 0o444, uid: 0, gid: 0, mtime: new Date(0), type: 'File' });
  // Such a path would need an extension header, which no reader of ours takes.
  if (header.encode()) throw new Error(`a path too long or not plain for a tar header: ${path}`);
  return header;
}
