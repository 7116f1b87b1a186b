/** ZIP archives in memory, right ones and broken ones: every field of an entry's list can be another. */
import { crc32, deflateRawSync } from 'node:zlib';

export interface ZipContent {
  readonly path: string;
  readonly content: Uint8Array;
  readonly stored?: boolean;
  /** What the list claims, if not the truth. */
  readonly size?: number;
  readonly crc?: number;
  /** Unix mode, as in the upper half of the external attributes. */
  readonly mode?: number;
}

export function writeZip(contents: readonly ZipContent[]): Buffer {
  const bodies: Buffer[] = [];
  const list: Buffer[] = [];
  let offset = 0;
  for (const one of contents) {
    const name = Buffer.from(one.path);
    const packed = one.stored === true ? Buffer.from(one.content) : deflateRawSync(one.content);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(one.stored === true ? 0 : 8, 4);
    fields.writeUInt32LE(one.crc ?? crc32(one.content), 10);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(one.size ?? one.content.length, 18);
    fields.writeUInt16LE(name.length, 22);
    const body = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), fields, name, packed]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(((one.mode ?? 0) << 16) >>> 0, 6);
    tail.writeUInt32LE(offset, 10);
    list.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x03', 'latin1'), fields, tail, name]));
    bodies.push(body);
    offset += body.length;
  }
  const entries = Buffer.concat(list);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(contents.length, 8);
  end.writeUInt16LE(contents.length, 10);
  end.writeUInt32LE(entries.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...bodies, entries, end]);
}
