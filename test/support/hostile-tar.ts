/** Tar entries as an attacker writes them: any type, path and size, with a checksum that is right. */
import { gzipSync } from 'node:zlib';

export interface HostileEntry {
  readonly path: string;
  /** The type flag; '0' is a file. */
  readonly type?: string;
  readonly link?: string;
  readonly prefix?: string;
  readonly content?: Uint8Array;
  /** What the header claims, if not the length of the content. */
  readonly size?: number | string;
}

export function hostileTar(entries: readonly HostileEntry[], end: Uint8Array = Buffer.alloc(1024)): Buffer {
  return Buffer.concat([...entries.flatMap(entryBlocks), end]);
}

/** An extension header for the next entry, or with 'g' for all that follow. */
export function paxHeader(records: Readonly<Record<string, string>>, type: 'x' | 'g' | 'X' = 'x'): HostileEntry {
  return { path: 'PaxHeader/x', type, content: Buffer.from(Object.entries(records).map(paxRecord).join('')) };
}

/** Content in a member of gzip's own form, with bytes of one's choice standing at `at`. */
export function gzipWith(content: Uint8Array, at: number, chosen: string): Buffer {
  const plain = gzipSync(content);
  const extra = Buffer.alloc(1024);
  extra.write(chosen, at - 12, 'latin1');
  const head = Buffer.from(plain.subarray(0, 10));
  head[3] = 4;
  return Buffer.concat([head, Buffer.from([extra.length & 0xff, extra.length >> 8]), extra, plain.subarray(10)]);
}

function paxRecord([key, value]: [string, string]): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length > length) length += 1;
  return `${String(length)}${rest}`;
}

function entryBlocks(entry: HostileEntry): Buffer[] {
  const content = Buffer.from(entry.content ?? []);
  const claimed = entry.size ?? content.length;
  const header = Buffer.alloc(512);
  header.write(entry.path, 0, 100, 'utf8');
  header.write('0000777\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(typeof claimed === 'string' ? claimed : claimed.toString(8).padStart(11, '0'), 124, 12, 'latin1');
  header.write('00000000000\0', 136);
  header.write(entry.type ?? '0', 156, 1, 'latin1');
  header.write(entry.link ?? '', 157, 100, 'utf8');
  header.write('ustar\u000000', 257, 'latin1');
  header.write(entry.prefix ?? '', 345, 155, 'utf8');
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
}
