/** Writes protobuf's wire format. Tensors are not copied until the whole message is. */
import { wireTypes } from './wire-reader.js';

export class WireWriter {
  private readonly chunks: Uint8Array[] = [];
  private small: number[] = [];
  private length = 0;

  tag(field: number, wireType: number): void {
    this.varint(field * 8 + wireType);
  }

  /** @param value a safe integer from 0 */
  varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.small.push((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.small.push(rest);
  }

  /** Any safe integer; a negative one has ten bytes. */
  int64(value: number): void {
    if (value >= 0) this.varint(value);
    else this.bigInt64(BigInt(value));
  }

  bigInt64(value: bigint): void {
    let rest = BigInt.asUintN(64, value);
    while (rest >= 0x80n) {
      this.small.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.small.push(Number(rest));
  }

  fixed64(value: bigint): void {
    this.chunk(new Uint8Array(new BigUint64Array([value]).buffer));
  }

  double(value: number): void {
    this.chunk(new Uint8Array(new Float64Array([value]).buffer));
  }

  blob(field: number, bytes: Uint8Array): void {
    this.tag(field, wireTypes.bytes);
    this.varint(bytes.length);
    this.chunk(bytes);
  }

  text(field: number, text: string): void {
    this.blob(field, Buffer.from(text));
  }

  /** Another message inside this one. */
  inner(field: number, inner: WireWriter): void {
    inner.flush();
    this.tag(field, wireTypes.bytes);
    this.varint(inner.length);
    this.flush();
    for (const chunk of inner.chunks) this.chunk(chunk);
  }

  finish(): Buffer {
    this.flush();
    return Buffer.concat(this.chunks, this.length);
  }

  private chunk(bytes: Uint8Array): void {
    this.flush();
    this.chunks.push(bytes);
    this.length += bytes.length;
  }

  private flush(): void {
    if (this.small.length === 0) return;
    const bytes = Uint8Array.from(this.small);
    this.small = [];
    this.chunks.push(bytes);
    this.length += bytes.length;
  }
}
