/**
 * Walks the structure of a JSON body by its bytes. Takes less than JSON allows: texts of printable ASCII
 * without escapes, no key twice; where it gives undefined, the body is not malformed, only not plain.
 */
const comma = 0x2c;
const colon = 0x3a;
const quote = 0x22;
const backslash = 0x5c;
const zero = 0x30;
const openObject = 0x7b;
const closeObject = 0x7d;
const openArray = 0x5b;
const closeArray = 0x5d;
const maxTextBytes = 256;
const decoder = new TextDecoder('utf-8', { fatal: true });

export class JsonScanner {
  at = 0;

  constructor(readonly bytes: Uint8Array) {}

  /** The next byte that is no space; 0 at the end. */
  peek(): number {
    const { bytes } = this;
    let byte = bytes[this.at] ?? 0;
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++this.at] ?? 0;
    return byte;
  }

  ended(): boolean {
    this.peek();
    return this.at === this.bytes.length;
  }

  private take(byte: number): boolean {
    if (this.peek() !== byte) return false;
    this.at++;
    return true;
  }

  /** @param value reads the value of a key; what it gives undefined for ends it all */
  object(value: (key: string) => unknown): Record<string, unknown> | undefined {
    if (!this.take(openObject)) return undefined;
    const out: Record<string, unknown> = {};
    do {
      const key = this.text();
      if (key === undefined || Object.hasOwn(out, key) || key === '__proto__' || !this.take(colon)) return undefined;
      const read = value(key);
      if (read === undefined) return undefined;
      out[key] = read;
    } while (this.take(comma));
    return this.take(closeObject) ? out : undefined;
  }

  array<T>(item: () => T | undefined): T[] | undefined {
    if (!this.take(openArray)) return undefined;
    const out: T[] = [];
    do {
      const read = item();
      if (read === undefined) return undefined;
      out.push(read);
    } while (this.take(comma));
    return this.take(closeArray) ? out : undefined;
  }

  text(): string | undefined {
    if (!this.take(quote)) return undefined;
    const { bytes } = this;
    const end = Math.min(bytes.length, this.at + maxTextBytes);
    let out = '';
    for (let at = this.at; at < end; at++) {
      const byte = bytes[at] ?? 0;
      if (byte === quote) {
        this.at = at + 1;
        return out;
      }
      if (byte < 0x20 || byte > 0x7e || byte === backslash) return undefined;
      out += String.fromCharCode(byte);
    }
    return undefined;
  }

  /** A shape: integers from 0 of at most 15 digits. */
  integers(): number[] | undefined {
    return this.array(() => {
      const { bytes } = this;
      this.peek();
      const first = this.at;
      let value = 0;
      let digit = (bytes[this.at] ?? 0) - zero;
      while (digit >= 0 && digit <= 9) {
        value = value * 10 + digit;
        digit = (bytes[++this.at] ?? 0) - zero;
      }
      const digits = this.at - first;
      if (digits === 0 || digits > 15 || (digits > 1 && bytes[first] === zero)) return undefined;
      return value;
    });
  }

  /** Past an array in which nothing but numbers and brackets stand; what it says is checked when it is read. */
  skipNumbers(): true | undefined {
    const { bytes } = this;
    let depth = 0;
    for (let at = this.at; at < bytes.length; at++) {
      const byte = bytes[at] ?? 0;
      if (byte === openArray) depth++;
      else if (byte === closeArray && --depth === 0) {
        this.at = at + 1;
        return true;
      } else if (byte === quote || byte === openObject) return undefined;
    }
    return undefined;
  }

  /** Any object or array, by the general parser. */
  anything(): unknown {
    const first = this.peek();
    if (first !== openObject && first !== openArray) return undefined;
    const start = this.at;
    const end = this.endOfNested();
    if (end === undefined) return undefined;
    this.at = end;
    try {
      return JSON.parse(decoder.decode(this.bytes.subarray(start, end)));
    } catch {
      return undefined;
    }
  }

  private endOfNested(): number | undefined {
    const { bytes } = this;
    let depth = 0;
    let inText = false;
    for (let at = this.at; at < bytes.length; at++) {
      const byte = bytes[at] ?? 0;
      if (inText) {
        if (byte === backslash) at++;
        else if (byte === quote) inText = false;
      } else if (byte === quote) inText = true;
      else if (byte === openObject || byte === openArray) depth++;
      else if ((byte === closeObject || byte === closeArray) && --depth === 0) return at + 1;
    }
    return undefined;
  }
}
