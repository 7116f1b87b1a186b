/**
 * Reads a plain tar with the parser of the package `tar`, in step: it gets one header, and what it
 * makes of that is judged before it gets more. Each header must be a file, a folder or the end;
 * links, devices and extension headers, by which one entry could change the meaning of another, are
 * refused, and so is anything compressed.
 */
import type { FileHandle } from 'node:fs/promises';
import { Parser, type ReadEntry } from 'tar';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { relativePathSchema } from '#shared/protocol/primitives.js';

export interface ArchiveEntry {
  readonly kind: 'file' | 'folder';
  readonly path: string;
  readonly size: number;
  /** The archive ends before its content does. */
  readonly isCut: boolean;
}

const blockBytes = 512;
const pieceBytes = 1024 * 1024;
/** Zeros after the end mark; tools fill up to a record of 10 KiB. */
const maxTrailingBytes = 64 * 1024;

const otherKinds: Readonly<Partial<Record<ReadEntry['type'], string>>> = {
  Link: 'a hard link',
  SymbolicLink: 'a symbolic link',
  CharacterDevice: 'a character device',
  BlockDevice: 'a block device',
  FIFO: 'a named pipe',
  SparseFile: 'a sparse file',
  ExtendedHeader: 'an extension header',
  OldExtendedHeader: 'an extension header',
  GlobalExtendedHeader: 'an extension header',
  NextFileHasLongPath: 'an extension header',
  NextFileHasLongLinkpath: 'an extension header',
  OldGnuLongPath: 'an extension header',
};

export class ArchiveReader {
  /** Extension headers of two bytes or more are reported as ignored, and never interpreted. */
  private readonly parser = new Parser({ strict: true, brotli: false, zstd: false, maxMetaEntrySize: 1 });
  /** What the parser made of the last header. */
  private readonly found: (ReadEntry | 'end')[] = [];
  /** What it made of the last piece of content. */
  private readonly pieces: Uint8Array[] = [];
  private position = 0;
  /** Bytes of the last entry's content that were not read yet, with those that fill its last block. */
  private remaining = 0;

  constructor(
    private readonly archive: FileHandle,
    private readonly size: number,
  ) {
    this.parser.on('entry', (entry: ReadEntry) => {
      this.found.push(entry);
      entry.on('data', (piece) => this.pieces.push(piece));
    });
    this.parser.on('ignoredEntry', (entry: ReadEntry) => this.found.push(entry));
    this.parser.on('nullBlock', () => this.found.push('end'));
  }

  /**
   * The content of the entry before must have been read.
   * @returns undefined at the end of the archive, behind which there is nothing
   * @throws AppError `archive.unsafe`
   */
  async next(): Promise<ArchiveEntry | undefined> {
    if (this.remaining > 0) throw new Error('the content of the entry before was not read');
    const start = this.position;
    const block = await this.read(Buffer.alloc(blockBytes), 'ends before its end mark');
    // Compressed archives, which the parser would inflate, and numbers in the binary form of GNU tar.
    if (block.some((byte) => byte >= 0x80)) throw unsafeArchive('is no plain tar, or holds an entry that is not');
    this.feed(block);
    const [found] = this.found.splice(0);
    if (found === undefined) throw unsafeArchive('holds an extension header; only files and folders are taken');
    if (found === 'end') {
      await this.checkEnd(start);
      return undefined;
    }
    const entry = judge(found);
    this.remaining = found.startBlockSize;
    return { ...entry, isCut: this.remaining > this.size - this.position };
  }

  /** The content of the last entry. A piece is good until the next one is asked for. */
  async *content(): AsyncGenerator<Uint8Array, void, undefined> {
    const buffer = Buffer.allocUnsafe(Math.min(pieceBytes, this.remaining));
    while (this.remaining > 0) {
      const piece = buffer.subarray(0, Math.min(buffer.length, this.remaining));
      this.feed(await this.read(piece, 'ends within an entry'));
      this.remaining -= piece.length;
      yield* this.pieces.splice(0);
    }
  }

  /** Zeros from the first block of the end mark to the end of the file. */
  private async checkEnd(start: number): Promise<void> {
    if (this.size - start > maxTrailingBytes) throw unsafeArchive('goes on after its end mark');
    this.position = start;
    const rest = await this.read(Buffer.alloc(this.size - start), 'ends before its end mark');
    if (rest.some((byte) => byte !== 0)) throw unsafeArchive('goes on after its end mark');
  }

  private async read(into: Buffer, otherwise: string): Promise<Buffer> {
    const { bytesRead } = await this.archive.read(into, 0, into.length, this.position);
    if (bytesRead < into.length) throw unsafeArchive(otherwise);
    this.position += into.length;
    return into;
  }

  /** A strict parser throws at what it finds wrong. */
  private feed(bytes: Buffer): void {
    try {
      this.parser.write(bytes);
    } catch (error) {
      throw unsafeArchive(`holds an entry that is broken: ${messageOf(error)}`, error);
    }
  }
}

export function unsafeArchive(what: string, cause?: unknown): AppError {
  return new AppError('archive.unsafe', `the archive ${what}`, cause === undefined ? {} : { cause });
}

function judge({ type, header, size }: ReadEntry): Omit<ArchiveEntry, 'isCut'> {
  // Not the entry's own path, in which the parser turns backslashes round on Windows.
  const path = header.path ?? '';
  if (header.size === undefined) throw unsafeArchive(`holds ${quote(path)} with no readable size`);
  if (type === 'File' || type === 'OldFile') return { kind: 'file', path: checkedPath(path), size };
  if (type === 'Directory') return { kind: 'folder', path: checkedPath(path.replace(/\/$/, '')), size };
  const kind = otherKinds[type] ?? `of type ${type}`;
  throw unsafeArchive(`holds ${quote(path)}, which is ${kind}; only files and folders are taken`);
}

function checkedPath(path: string): string {
  const checked = relativePathSchema.safeParse(path);
  if (checked.success) return path;
  throw unsafeArchive(`holds ${quote(path)}, which ${checked.error.issues[0]?.message ?? 'is no relative path'}`);
}

function quote(value: string): string {
  return JSON.stringify(value.slice(0, 255));
}
