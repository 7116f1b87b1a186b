/**
 * The typed contents of a tensor, read into the bytes that the binary tensor extension has for them:
 * little-endian elements, and byte strings each after their length. Packed or not, in one piece or many.
 */
import { type WireReader, wireTypes } from './wire-reader.js';

const widths = { bool: 1, int32: 4, int64: 8, uint32: 4, uint64: 8, float: 4, double: 8, bytes: 0 } as const;
export type ElementType = keyof typeof widths;

export class ElementBytes {
  private buffer = new Uint8Array(0);
  private length = 0;

  constructor(readonly type: ElementType) {}

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.buffer.subarray(0, this.length);
  }

  /** @returns undefined where the wire type cannot be this type's */
  read(reader: WireReader, wireType: number): this | undefined {
    const { type } = this;
    if (type === 'bytes') return wireType === wireTypes.bytes ? this.readString(reader) : undefined;
    const fixed = type === 'float' ? wireTypes.fixed32 : type === 'double' ? wireTypes.fixed64 : undefined;
    if (wireType === wireTypes.bytes) {
      const inner = reader.inner();
      return fixed === undefined ? this.readVarints(inner, countVarints(inner)) : this.copy(inner);
    }
    if (wireType !== (fixed ?? wireTypes.varint)) return undefined;
    if (fixed === undefined) return this.readVarints(reader, 1);
    const start = reader.at;
    reader.skip(wireType);
    return this.append(reader, start, reader.at);
  }

  private readString(reader: WireReader): this {
    const start = reader.part();
    const at = this.reserve(reader, 4 + reader.at - start);
    new DataView(this.buffer.buffer).setUint32(at, reader.at - start, true);
    this.buffer.set(reader.bytes.subarray(start, reader.at), at + 4);
    return this;
  }

  private copy(inner: WireReader): this {
    const { at, end } = inner;
    // What is left of a last element is no element; the shape will not fit.
    return this.append(inner, at, end);
  }

  private append(reader: WireReader, start: number, end: number): this {
    const at = this.reserve(reader, end - start);
    this.buffer.set(reader.bytes.subarray(start, end), at);
    return this;
  }

  private readVarints(reader: WireReader, count: number): this {
    const width = widths[this.type];
    const at = this.reserve(reader, count * width);
    if (width === 1) {
      for (let index = 0; index < count; index++) this.buffer[at + index] = reader.bool() ? 1 : 0;
      return this;
    }
    const words = new Uint32Array(this.buffer.buffer, at, (count * width) / 4);
    for (let word = 0; word < words.length; ) {
      reader.varint();
      words[word++] = reader.low;
      if (width === 8) words[word++] = reader.high;
    }
    return this;
  }

  /** Room for more at the end. @returns where it is */
  private reserve(reader: WireReader, more: number): number {
    reader.budget.bytes(more);
    const at = this.length;
    this.length += more;
    if (this.length > this.buffer.length) {
      const grown = new Uint8Array(at === 0 ? this.length : Math.max(this.length, 2 * this.buffer.length));
      grown.set(this.buffer.subarray(0, at));
      this.buffer = grown;
    }
    return at;
  }
}

/** Each has one byte without the high bit, its last. */
function countVarints({ bytes, at, end }: WireReader): number {
  let count = 0;
  for (let index = at; index < end; index++) if ((bytes[index] ?? 0) < 0x80) count++;
  return count;
}
