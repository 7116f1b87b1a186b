// Enough of the ELF format to tell for which machine a file is.

/** e_machine (62: x86-64, 183: AArch64); undefined where the bytes begin otherwise than an ELF file. */
export function elfMachine(bytes: Uint8Array): number | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 20));
  if (head.length < 20 || head.readUInt32BE(0) !== 0x7f454c46) return undefined;
  const isLittleEndian = head[5] === 1;
  return isLittleEndian ? head.readUInt16LE(18) : head.readUInt16BE(18);
}
