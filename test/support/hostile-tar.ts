/** Tar entries as an attacker writes them: any type, path and size, with a checksum that is right. */

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
