/** A body in chunks, as its bytes come, in pieces of any size. */

export type ChunkedStep =
  | { readonly kind: 'more' }
  | { readonly kind: 'invalid' }
  /** @property left what came behind the body */
  | { readonly kind: 'done'; readonly left: Buffer };

const lineFeed = 0x0a;
/** Of a size with its extensions, and of all trailers, which go no further. */
const maxLineBytes = 1024;
const maxTrailerBytes = 8 * 1024;
const size = /^([0-9a-fA-F]{1,12})[ \t]*(?:;[\t\x20-\x7e]*)?\r\n$/;
const more: ChunkedStep = { kind: 'more' };
const invalid: ChunkedStep = { kind: 'invalid' };

export class ChunkedBody {
  private state: 'size' | 'data' | 'end-of-data' | 'trailers' = 'size';
  private line = '';
  private missing = 0;
  private trailerBytes = 0;

  constructor(private readonly data: (chunk: Buffer) => void) {}

  take(bytes: Buffer): ChunkedStep {
    let at = 0;
    while (at < bytes.length) {
      if (this.state === 'data') {
        const end = Math.min(bytes.length, at + this.missing);
        this.data(bytes.subarray(at, end));
        this.missing -= end - at;
        at = end;
        if (this.missing === 0) this.state = 'end-of-data';
        continue;
      }
      const found = bytes.indexOf(lineFeed, at);
      const end = found < 0 ? bytes.length : found + 1;
      this.line += bytes.toString('latin1', at, end);
      at = end;
      if (this.line.length > maxLineBytes) return invalid;
      if (found < 0) break;
      const line = this.line;
      this.line = '';
      if (this.state === 'trailers' && line === '\r\n') return { kind: 'done', left: bytes.subarray(at) };
      if (!this.takeLine(line)) return invalid;
    }
    return more;
  }

  private takeLine(line: string): boolean {
    if (this.state === 'end-of-data') {
      this.state = 'size';
      return line === '\r\n';
    }
    if (this.state === 'trailers') {
      this.trailerBytes += line.length;
      return this.trailerBytes <= maxTrailerBytes && line.endsWith('\r\n');
    }
    const digits = size.exec(line)?.[1];
    if (digits === undefined) return false;
    this.missing = Number.parseInt(digits, 16);
    this.state = this.missing === 0 ? 'trailers' : 'data';
    return true;
  }
}
