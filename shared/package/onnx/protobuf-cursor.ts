/**
 * Walks protobuf fields of a file by positioned reads, so that what nobody asks for (weights) is
 * never read. Every length is checked against the message it stands in, and that against the file,
 * before anything is allocated; the number of fields is bounded, and with it the time.
 */
import type { FileHandle } from 'node:fs/promises';

const windowBytes = 32 * 1024;
/** A tag and a varint. */
const headerBytes = 20;
/** More than any real graph by far; a file of nothing but tiny fields is refused after this many. */
const maxFields = 8 * 1024 * 1024;
/** All names and texts together: what asks for them keeps them in memory. */
const maxTextBytes = 64 * 1024 * 1024;

/** The bytes are not what a protobuf message of this kind has. Never leaves this folder. */
export class MalformedError extends Error {
  override readonly name = 'MalformedError';
}

export interface Field {
  readonly number: number;
  readonly kind: 'varint' | 'bytes' | 'fixed';
  /** Of a varint, as a signed 64-bit integer; NaN when beyond 2^53. */
  readonly value: number;
  /** Where the content starts and ends in the file. */
  readonly start: number;
  readonly end: number;
}

export class ProtobufCursor {
  private position = 0;
  private readonly window: Buffer;
  private windowStart = 0;
  private windowLength = 0;
  private fields = 0;
  private textBytes = 0;

  constructor(
    private readonly file: FileHandle,
    readonly size: number,
  ) {
    this.window = Buffer.allocUnsafe(Math.min(windowBytes, size));
  }

  /** Calls `visit` for each field between two offsets. A visitor may walk or read its field's content. */
  async eachField(start: number, end: number, visit: (field: Field) => Promise<void> | undefined): Promise<void> {
    this.position = start;
    while (this.position < end) {
      if (!this.isBuffered()) await this.fill();
      const field = this.header(end);
      const visited = visit(field);
      if (visited !== undefined) await visited;
      this.position = field.end;
    }
  }

  /** The text of a field, at most `maxBytes` of it. */
  async text(field: Field, maxBytes: number): Promise<string> {
    const length = field.end - field.start;
    if (length > maxBytes) throw new MalformedError(`a text of ${String(length)} bytes, at most ${String(maxBytes)}`);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await this.bytes(field.start, length));
    } catch (error) {
      if (error instanceof TypeError) throw new MalformedError('a text that is not UTF-8');
      throw error;
    }
  }

  /** The beginning of a long text; what UTF-8 cannot read in it becomes U+FFFD. */
  async textStart(field: Field, maxBytes: number): Promise<string> {
    const length = Math.min(field.end - field.start, maxBytes);
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(await this.bytes(field.start, length));
  }

  private async bytes(start: number, length: number): Promise<Uint8Array> {
    this.textBytes += length;
    if (this.textBytes > maxTextBytes) throw new MalformedError(`more than ${String(maxTextBytes)} bytes of names`);
    const inWindow = start - this.windowStart;
    if (inWindow >= 0 && inWindow + length <= this.windowLength) {
      return this.window.subarray(inWindow, inWindow + length);
    }
    const out = Buffer.allocUnsafe(length);
    if ((await this.read(out, start)) < length) throw new MalformedError('the file became shorter while it was read');
    return out;
  }

  private isBuffered(): boolean {
    const wanted = Math.min(this.position + headerBytes, this.size);
    return this.position >= this.windowStart && wanted <= this.windowStart + this.windowLength;
  }

  private async fill(): Promise<void> {
    this.windowStart = this.position;
    this.windowLength = 0;
    this.windowLength = await this.read(this.window, this.position);
  }

  private async read(into: Buffer, position: number): Promise<number> {
    let filled = 0;
    while (filled < into.length) {
      const { bytesRead } = await this.file.read(into, filled, into.length - filled, position + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  }

  private header(end: number): Field {
    if (++this.fields > maxFields) throw new MalformedError(`more than ${String(maxFields)} fields`);
    const at = this.position;
    const tag = this.varint(end);
    // Field numbers have 29 bits, the wire type three.
    if (!(tag >= 8 && tag < 2 ** 32)) throw new MalformedError(`no field begins at byte ${String(at)}`);
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0: {
        const start = this.position;
        const value = this.varint(end);
        return { number, kind: 'varint', value, start, end: this.position };
      }
      case 1:
        return this.content(number, 'fixed', 8, end);
      case 2:
        return this.content(number, 'bytes', this.varint(end), end);
      case 5:
        return this.content(number, 'fixed', 4, end);
      default:
        throw new MalformedError(`no field begins at byte ${String(at)}`);
    }
  }

  private content(number: number, kind: Field['kind'], length: number, end: number): Field {
    const start = this.position;
    if (!(length >= 0 && length <= end - start)) {
      throw new MalformedError(
        `field ${String(number)} at byte ${String(start)} claims ${String(length)} bytes, ${String(end - start)} are left: damaged or cut short`,
      );
    }
    return { number, kind, value: Number.NaN, start, end: start + length };
  }

  private varint(end: number): number {
    let low = 0;
    let scale = 1;
    const limit = Math.min(end, this.windowStart + this.windowLength);
    for (let count = 0; count < 10; count++) {
      if (this.position >= limit) throw new MalformedError(`the file ends within a number at byte ${String(limit)}`);
      const byte = this.window[this.position++ - this.windowStart] ?? 0;
      if (count === 7) return this.longVarint(low, byte, limit);
      low += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) return low;
    }
    throw new MalformedError('a number of more than ten bytes');
  }

  /** The part of a varint beyond 49 bits; negative numbers have ten bytes. */
  private longVarint(low: number, eighth: number, limit: number): number {
    let value = BigInt(low);
    let shift = 49n;
    let byte = eighth;
    for (;;) {
      value |= BigInt(byte & 0x7f) << shift;
      shift += 7n;
      if (byte < 0x80) break;
      if (shift >= 70n) throw new MalformedError('a number of more than ten bytes');
      if (this.position >= limit) throw new MalformedError(`the file ends within a number at byte ${String(limit)}`);
      byte = this.window[this.position++ - this.windowStart] ?? 0;
    }
    const signed = Number(BigInt.asIntN(64, value));
    return Number.isSafeInteger(signed) ? signed : Number.NaN;
  }
}
