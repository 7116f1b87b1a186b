/**
 * Reads single files out of a ZIP archive (.nupkg, .whl): the list at its end, then one entry as a stream,
 * at most as long as the list says and with the checksum that it says. Plain ZIP only: entries stored or
 * deflated, below 4 GB, not encrypted.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { crc32, createInflateRaw } from 'node:zlib';
import { AppError } from '#shared/kernel/errors.js';

export interface ZipEntry {
  readonly name: string;
  readonly size: number;
  readonly packedSize: number;
  readonly method: number;
  readonly crc: number;
  readonly offset: number;
  /** Neither a folder nor a link nor encrypted. */
  readonly isPlainFile: boolean;
}

/** The end record, and the longest comment behind it. */
const endLength = 22;
const maxComment = 0xffff;
const maxListBytes = 16 * 1024 * 1024;
const chunkBytes = 256 * 1024;

export class ZipFile {
  private constructor(
    private readonly file: FileHandle,
    readonly entries: readonly ZipEntry[],
  ) {}

  /** @throws AppError `archive.unsafe` when it is no ZIP archive that we read */
  static async open(path: string): Promise<ZipFile> {
    const file = await open(path, 'r');
    try {
      return new ZipFile(file, await readList(file));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.file.close();
  }

  /** The entry's content; the stream fails with `archive.unsafe` where it is not what the list says. */
  async read(entry: ZipEntry): Promise<Readable> {
    const head = await readExactly(this.file, entry.offset, 30);
    if (head.readUInt32LE(0) !== 0x04034b50) throw unsafe(`there is no entry where the list has "${entry.name}"`);
    const start = entry.offset + 30 + head.readUInt16LE(26) + head.readUInt16LE(28);
    const packed = Readable.from(this.packed(start, entry.packedSize), { objectMode: false });
    if (entry.method === 0) return Readable.from(checked(packed, packed, entry), { objectMode: false });
    if (entry.method !== 8) throw unsafe(`"${entry.name}" is packed in a way (${String(entry.method)}) not known here`);
    const inflate = createInflateRaw();
    packed.on('error', (error) => inflate.destroy(error));
    return Readable.from(checked(packed.pipe(inflate), packed, entry), { objectMode: false });
  }

  private async *packed(start: number, length: number): AsyncGenerator<Buffer> {
    for (let done = 0; done < length; ) {
      const part = await readExactly(this.file, start + done, Math.min(chunkBytes, length - done));
      done += part.length;
      yield part;
    }
  }
}

async function* checked(content: Readable, packed: Readable, entry: ZipEntry): AsyncGenerator<Buffer> {
  let crc = 0;
  let size = 0;
  try {
    for await (const chunk of content) {
      const part = chunk as Buffer;
      size += part.length;
      if (size > entry.size) break;
      crc = crc32(part, crc);
      yield part;
    }
  } catch (error) {
    throw error instanceof AppError ? error : unsafe(`"${entry.name}" is damaged`);
  } finally {
    // Nothing reads on from a file that may be closed next.
    packed.destroy();
  }
  if (size !== entry.size) throw unsafe(`"${entry.name}" is not of the size that the list says`);
  if (crc !== entry.crc) throw unsafe(`"${entry.name}" has not the checksum that the list says`);
}

async function readList(file: FileHandle): Promise<ZipEntry[]> {
  const { size } = await file.stat();
  const tailLength = Math.min(size, endLength + maxComment);
  const tail = await readExactly(file, size - tailLength, tailLength);
  const end = tail.lastIndexOf(Buffer.from([0x50, 0x4b, 0x05, 0x06]));
  if (end < 0 || tail.length - end < endLength) throw unsafe('it is no ZIP archive, or not all of one');
  const count = tail.readUInt16LE(end + 10);
  const length = tail.readUInt32LE(end + 12);
  const offset = tail.readUInt32LE(end + 16);
  if (length > maxListBytes || offset + length > size) throw unsafe('its list lies outside of it');
  return parseList(await readExactly(file, offset, length), count);
}

/** @throws AppError `archive.unsafe` */
function parseList(list: Buffer, count: number): ZipEntry[] {
  const entries: ZipEntry[] = [];
  for (let at = 0; entries.length < count; ) {
    if (at + 46 > list.length || list.readUInt32LE(at) !== 0x02014b50) throw unsafe('its list is damaged');
    const nameLength = list.readUInt16LE(at + 28);
    const next = at + 46 + nameLength + list.readUInt16LE(at + 30) + list.readUInt16LE(at + 32);
    if (next > list.length) throw unsafe('its list is damaged');
    const name = list.toString('utf8', at + 46, at + 46 + nameLength);
    const mode = list.readUInt32LE(at + 38) >>> 16;
    const isFile = (mode & 0o170000) === 0 || (mode & 0o170000) === 0o100000;
    entries.push({
      name,
      method: list.readUInt16LE(at + 10),
      crc: list.readUInt32LE(at + 16),
      packedSize: list.readUInt32LE(at + 20),
      size: list.readUInt32LE(at + 24),
      offset: list.readUInt32LE(at + 42),
      isPlainFile: isFile && !name.endsWith('/') && (list.readUInt16LE(at + 8) & 1) === 0,
    });
    at = next;
  }
  return entries;
}

async function readExactly(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(buffer, done, length - done, position + done);
    if (bytesRead === 0) throw unsafe('it ends too early');
    done += bytesRead;
  }
  return buffer;
}

function unsafe(what: string): AppError {
  return new AppError('archive.unsafe', `the archive cannot be used: ${what}`);
}
