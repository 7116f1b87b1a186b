/**
 * Reads protobuf's wire format in memory. Whatever the bytes: it throws `score.invalid-input` and nothing
 * else, and what it makes of them stays within the budget, which bounds a message of a million empty parts.
 */
import { AppError } from '#shared/kernel/errors.js';
import { invalidInput } from '../codec/invalid-input.js';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** More parts, names and dimensions than any real request has. */
const maxItems = 100_000;

export class ReadBudget {
  private items = maxItems;
  private bytesLeft: number;

  /** @param maxBytes what numbers may take once decoded: a byte on the wire can become eight */
  constructor(private readonly maxBytes: number) {
    this.bytesLeft = maxBytes;
  }

  item(): void {
    if (--this.items < 0) throw invalidInput(`the message has more than ${String(maxItems)} parts`);
  }

  bytes(count: number): void {
    this.bytesLeft -= count;
    if (this.bytesLeft < 0) {
      throw new AppError(
        'request.too-large',
        `the tensors of the message are larger than ${String(this.maxBytes)} bytes: send fewer rows per request`,
        { details: { maxBodyBytes: this.maxBytes } },
      );
    }
  }
}

export const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

export class WireReader {
  /** Of the varint read last, as two unsigned halves. */
  low = 0;
  high = 0;

  constructor(
    readonly bytes: Uint8Array,
    readonly budget: ReadBudget,
    public at = 0,
    public end = bytes.length,
  ) {}

  get ended(): boolean {
    return this.at >= this.end;
  }

  varint(): void {
    const { bytes, end } = this;
    let byte = 0;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.at >= end) throw invalidInput('the message ends within a number');
      byte = bytes[this.at++] ?? 0;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high |= bits >> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) {
        this.low = low >>> 0;
        this.high = high >>> 0;
        return;
      }
    }
    throw invalidInput('the message has a number of more than ten bytes');
  }

  uint32(): number {
    this.varint();
    return this.low;
  }

  /** As near as a double comes; dimensions and counts are far below what it holds. */
  int64(): number {
    this.varint();
    return (this.high | 0) * 2 ** 32 + this.low;
  }

  bigInt64(): bigint {
    this.varint();
    return (BigInt(this.high | 0) << 32n) | BigInt(this.low);
  }

  bigUint64(): bigint {
    this.varint();
    return (BigInt(this.high) << 32n) | BigInt(this.low);
  }

  bool(): boolean {
    this.varint();
    return this.low !== 0 || this.high !== 0;
  }

  double(): number {
    const start = this.skipFixed(8);
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + start, 8).getFloat64(0, true);
  }

  /** Moves past a part with its length before it. @returns where the part begins; it ends at `at` */
  part(): number {
    this.varint();
    return this.skipFixed(this.high > 0 ? Number.POSITIVE_INFINITY : this.low);
  }

  /** In place. */
  blob(): Uint8Array {
    const start = this.part();
    return this.bytes.subarray(start, this.at);
  }

  text(): string {
    try {
      return utf8.decode(this.blob());
    } catch (error) {
      if (error instanceof TypeError) throw invalidInput('a text in the message is not UTF-8');
      throw error;
    }
  }

  /** A reader of the part that comes next. */
  inner(): WireReader {
    const start = this.part();
    return new WireReader(this.bytes, this.budget, start, this.at);
  }

  skip(wireType: number): void {
    switch (wireType) {
      case wireTypes.varint:
        this.varint();
        return;
      case wireTypes.fixed64:
        this.skipFixed(8);
        return;
      case wireTypes.bytes:
        this.part();
        return;
      case wireTypes.fixed32:
        this.skipFixed(4);
        return;
      default:
        throw invalidInput('the message is not a protobuf message of this kind');
    }
  }

  private skipFixed(length: number): number {
    const start = this.at;
    if (length > this.end - start) throw invalidInput('the message ends within a field: damaged or cut short');
    this.at = start + length;
    return start;
  }
}
