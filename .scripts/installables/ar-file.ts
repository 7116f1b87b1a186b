// The outer form of a Debian package: a common ar archive, as deb(5) has it.

export interface ArMember {
  readonly name: string;
  readonly bytes: Buffer;
}

export function arFile(members: readonly ArMember[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from('!<arch>\n')];
  for (const { name, bytes } of members) {
    if (Buffer.byteLength(name) > 15) throw new Error(`a name too long for ar: ${name}`);
    const fields = [name.padEnd(16), '0'.padEnd(12), '0'.padEnd(6), '0'.padEnd(6), '100644'.padEnd(8)];
    parts.push(Buffer.from(`${fields.join('')}${String(bytes.length).padEnd(10)}\`\n`), bytes);
    if (bytes.length % 2 === 1) parts.push(Buffer.from('\n'));
  }
  return Buffer.concat(parts);
}
