/**
 * Reads JSON numbers from bytes without making a string of each. A short number comes out exactly as
 * `JSON.parse` reads it; a long one as a double that is off by less than 2^-48 of itself, marked so.
 */
const minus = 0x2d;
const plus = 0x2b;
const point = 0x2e;
const zero = 0x30;
const lowerE = 0x65;

/** To 10^22 exactly doubles. */
const powers = Array.from({ length: 64 }, (_, exponent) => Number(`1e${String(exponent)}`));
const exactPowers = 22;
/** So few digits stand beyond the 53 bits that their rounding stays within the promise above. */
const maxMantissa = 1e22;
const wider = 1 + 2 ** -46;
const narrower = 1 - 2 ** -46;

export class NumberReader {
  /** Of the number just read. */
  value = 0;
  exact = true;
  private start = 0;

  constructor(
    readonly bytes: Uint8Array,
    public at: number,
  ) {}

  skipSpace(): number {
    const { bytes } = this;
    let at = this.at;
    let byte = bytes[at] ?? 0;
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++at] ?? 0;
    this.at = at;
    return byte;
  }

  /** @returns false where no complete JSON number stands; `at` is then anywhere */
  read(): boolean {
    const { bytes } = this;
    let at = this.at;
    this.start = at;
    let byte = bytes[at] ?? 0;
    const negative = byte === minus;
    if (negative) byte = bytes[++at] ?? 0;
    let digit = byte - zero;
    if (!(digit >= 0 && digit <= 9)) return false;
    let mantissa = digit;
    byte = bytes[++at] ?? 0;
    if (digit > 0) {
      for (digit = byte - zero; digit >= 0 && digit <= 9; digit = byte - zero) {
        mantissa = mantissa * 10 + digit;
        byte = bytes[++at] ?? 0;
      }
    }
    let exponent = 0;
    if (byte === point) {
      const first = at + 1;
      byte = bytes[++at] ?? 0;
      for (digit = byte - zero; digit >= 0 && digit <= 9; digit = byte - zero) {
        mantissa = mantissa * 10 + digit;
        byte = bytes[++at] ?? 0;
      }
      if (at === first) return false;
      exponent = first - at;
    }
    this.at = at;
    if ((byte | 0x20) === lowerE) {
      const written = this.readExponent();
      if (Number.isNaN(written)) return false;
      exponent += written;
    }
    this.scale(negative, mantissa, exponent);
    return true;
  }

  /** @returns NaN where the digits are missing */
  private readExponent(): number {
    const { bytes } = this;
    let at = this.at + 1;
    let byte = bytes[at] ?? 0;
    const negative = byte === minus;
    if (negative || byte === plus) byte = bytes[++at] ?? 0;
    const first = at;
    let exponent = 0;
    for (let digit = byte - zero; digit >= 0 && digit <= 9; digit = byte - zero) {
      exponent = exponent * 10 + digit;
      byte = bytes[++at] ?? 0;
    }
    this.at = at;
    if (at === first) return Number.NaN;
    return negative ? -exponent : exponent;
  }

  private scale(negative: boolean, mantissa: number, exponent: number): void {
    const size = exponent < 0 ? -exponent : exponent;
    let value = mantissa;
    if (size >= powers.length || mantissa >= maxMantissa) {
      value = Number(this.text().slice(negative ? 1 : 0));
      this.exact = true;
    } else {
      if (exponent !== 0) value = exponent < 0 ? mantissa / (powers[size] ?? 1) : mantissa * (powers[size] ?? 1);
      this.exact = mantissa <= Number.MAX_SAFE_INTEGER && size <= exactPowers;
    }
    this.value = negative ? -value : value;
  }

  /** The number as a float holds it: rounded from the double that `JSON.parse` reads. May be infinite. */
  float32(): number {
    const rounded = Math.fround(this.value);
    if (this.exact) return rounded;
    // Only next to the middle between two floats does the missing precision matter.
    const sure = Math.fround(this.value * wider) === Math.fround(this.value * narrower);
    return sure ? rounded : Math.fround(Number(this.text()));
  }

  private text(): string {
    return String.fromCharCode(...this.bytes.subarray(this.start, this.at));
  }
}
