/** BYTES in the binary extension: each element is a little-endian uint32 length and that many bytes. */
import { invalidInput } from './invalid-input.js';

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** @throws AppError `score.invalid-input` */
export function readBytesElements(name: string, bytes: Uint8Array, elements: number): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const index = out.length;
    if (index === elements) {
      throw invalidInput(`input "${name}": its binary data goes on after its ${String(elements)} elements`);
    }
    if (at + 4 > bytes.length) throw cut(name, index);
    const length = view.getUint32(at, true);
    at += 4;
    if (at + length > bytes.length) throw cut(name, index);
    try {
      out.push(decoder.decode(bytes.subarray(at, at + length)));
    } catch {
      throw invalidInput(`input "${name}": element ${String(index)} is not UTF-8 text, which the model's strings are`);
    }
    at += length;
  }
  if (out.length !== elements) {
    throw invalidInput(
      `input "${name}": its shape has ${String(elements)} elements, its binary data ${String(out.length)}`,
    );
  }
  return out;
}

function cut(name: string, index: number): Error {
  return invalidInput(`input "${name}": its binary data ends inside element ${String(index)}`);
}

export function writeBytesElements(strings: readonly string[]): Uint8Array<ArrayBuffer> {
  const encoded = strings.map((text) => encoder.encode(text));
  const out = new Uint8Array(encoded.reduce((size, bytes) => size + 4 + bytes.length, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const bytes of encoded) {
    view.setUint32(at, bytes.length, true);
    out.set(bytes, at + 4);
    at += 4 + bytes.length;
  }
  return out;
}
