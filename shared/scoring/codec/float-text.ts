/**
 * Floats as JSON text: the fewest digits that read back as the same float, where the digits of the
 * double in their place would be twice as many bytes and several times the work. Whole numbers below 10^9 are written in full.
 */
const minus = 0x2d;
const point = 0x2e;
const zero = 0x30;
const comma = 0x2c;
const lowerE = 0x65;
const chunkElements = 4096;
/** Sign, nine digits, point, and six zeros after one before it; or what `String` writes. */
const maxTextBytes = 28;

/** Exactly doubles: what is divided by one of them is rounded once, as `JSON.parse` rounds. */
const powers = Array.from({ length: 23 }, (_, exponent) => 10 ** exponent);

/** The elements with commas between, all of them finite. */
export function floatListText(values: Float32Array): string {
  const writer = new FloatWriter(Math.min(values.length, chunkElements) * maxTextBytes);
  let text = '';
  for (let index = 0; index < values.length; index++) {
    if (index > 0) writer.byte(comma);
    writer.float(values[index] ?? 0);
    if (index % chunkElements === chunkElements - 1) text += writer.take();
  }
  return text + writer.take();
}

class FloatWriter {
  private at = 0;
  private readonly out: Buffer;

  constructor(size: number) {
    this.out = Buffer.allocUnsafe(size);
  }

  take(): string {
    const text = this.out.toString('latin1', 0, this.at);
    this.at = 0;
    return text;
  }

  byte(byte: number): void {
    this.out[this.at++] = byte;
  }

  float(value: number): void {
    const size = value < 0 ? -value : value;
    if (value < 0) this.byte(minus);
    if (size < 1e9 && Math.trunc(size) === size) this.integer(size);
    else if (!this.digits(size)) this.at += this.out.write(shortest(size), this.at, 'latin1');
  }

  /** Six digits are coarser than any float: where they are enough, zeros at their end are all that is too long. */
  private digits(size: number): boolean {
    if (!(size >= 1e-13 && size < 1e9)) return false;
    const exponent = Math.floor(Math.log10(size));
    for (let scale = 5 - exponent; scale <= 8 - exponent; scale++) {
      if (scale < 1 || scale > 22) continue;
      const power = powers[scale] ?? 1;
      const digits = Math.round(size * power);
      if (Math.fround(digits / power) !== size) continue;
      this.decimal(digits, scale);
      return true;
    }
    return false;
  }

  /** digits / 10^scale */
  private decimal(allDigits: number, fullScale: number): void {
    let digits = allDigits;
    let scale = fullScale;
    while (scale > 0 && digits % 10 === 0) {
      digits /= 10;
      scale--;
    }
    if (scale === 0) {
      this.integer(digits);
      return;
    }
    const count = digitCount(digits);
    if (count - scale > -6) {
      // 0.000001 and up: a point within or before the digits.
      const whole = Math.max(count - scale, 1);
      this.fraction(digits, whole, scale);
    } else {
      this.fraction(digits, 1, count - 1);
      this.byte(lowerE);
      this.byte(minus);
      this.integer(scale - count + 1);
    }
  }

  /** `whole` digits, a point where any follow, and `part` digits, zeros before them where there are too few. */
  private fraction(digits: number, whole: number, part: number): void {
    const length = whole + part + (part > 0 ? 1 : 0);
    let rest = digits;
    for (let index = length - 1; index >= 0; index--) {
      if (part > 0 && index === whole) {
        this.out[this.at + index] = point;
        continue;
      }
      const next = (rest / 10) | 0;
      this.out[this.at + index] = zero + rest - next * 10;
      rest = next;
    }
    this.at += length;
  }

  private integer(value: number): void {
    this.fraction(value, digitCount(value), 0);
  }
}

function digitCount(value: number): number {
  let count = 1;
  while (count < 16 && value >= (powers[count] ?? 0)) count++;
  return count;
}

/** Very small and very large ones. */
function shortest(size: number): string {
  for (let precision = 1; precision <= 9; precision++) {
    const short = Number(size.toPrecision(precision));
    if (Math.fround(short) === size) return String(short);
  }
  return String(size);
}
