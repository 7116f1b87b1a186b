/**
 * An array of numbers, or arrays of them nested as evenly as a tensor, from bytes into a typed array.
 * What is odd in any way (empty, uneven, another kind of value, out of range) is not read here: the
 * general parser reads it or says what is wrong.
 */
import { allocate, elementCount, type Datatype, type FixedDatatype, type NumericData } from '../tensor.js';
import { NumberReader } from './number-reader.js';

const open = 0x5b;
const close = 0x5d;
const comma = 0x2c;
const maxDepth = 32;
const unknownCapacity = 64;

export type ScannedDatatype = Exclude<FixedDatatype, 'BOOL' | 'FP16'>;

const ranges: { readonly [D in Exclude<ScannedDatatype, 'FP32' | 'FP64'>]: readonly [number, number] } = {
  UINT8: [0, 0xff],
  UINT16: [0, 0xffff],
  UINT32: [0, 0xffff_ffff],
  UINT64: [0, Number.MAX_SAFE_INTEGER],
  INT8: [-0x80, 0x7f],
  INT16: [-0x8000, 0x7fff],
  INT32: [-0x8000_0000, 0x7fff_ffff],
  INT64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};

export function isScanned(datatype: Datatype): datatype is ScannedDatatype {
  return datatype === 'FP32' || datatype === 'FP64' || datatype in ranges;
}

/** Takes the place of a JSON array in what was parsed. */
export class ScannedNumbers {
  constructor(
    readonly datatype: ScannedDatatype,
    /** Lengths of the nesting; one for a flat array, none for a bare number. */
    readonly dims: readonly number[],
    readonly data: NumericData,
    /** The bytes that were read: valid JSON. */
    readonly json: Uint8Array,
  ) {}

  /** Whether this is data of the shape: flat, or nested exactly so. */
  fits(shape: readonly number[]): boolean {
    const { dims } = this;
    if (dims.length === 1) return dims[0] === elementCount(shape);
    return dims.length === shape.length && dims.every((length, axis) => length === shape[axis]);
  }
}

/**
 * @param at where the array, or a bare number, begins
 * @param hint elements to expect; 0 where nobody knows
 */
export function scanNumbers(
  bytes: Uint8Array,
  at: number,
  datatype: ScannedDatatype,
  hint: number,
): ScannedNumbers | undefined {
  const reader = new NumberReader(bytes, at);
  const nest = new Nesting();
  // No more than can stand in the bytes: a shape reserves no memory that its data does not fill.
  const capacity = Math.max(1, Math.min(hint > 0 ? hint : unknownCapacity, (bytes.length - at) >> 1));
  let data: NumericData | undefined;
  if (bytes[at] !== open) data = bareNumber(reader, datatype);
  else if (datatype === 'FP32') data = fillFloats(reader, nest, new Float32Array(capacity));
  else data = convert(datatype, fillDoubles(reader, nest, new Float64Array(capacity)));
  return data && new ScannedNumbers(datatype, nest.dims, data, bytes.subarray(at, reader.at));
}

function bareNumber(reader: NumberReader, datatype: ScannedDatatype): NumericData | undefined {
  if (!reader.read()) return undefined;
  if (datatype !== 'FP32') return reader.exact ? convert(datatype, Float64Array.of(reader.value)) : undefined;
  const value = reader.float32();
  return value - value === 0 ? Float32Array.of(value) : undefined;
}

/** Walks the brackets; between two calls stand numbers at the innermost level. */
class Nesting {
  readonly dims: number[] = [];
  private readonly counts: number[] = [];
  private depth = 0;
  private leafDepth = -1;

  /** To the next number. @returns false where something else than an opening bracket stands before it */
  enter(reader: NumberReader): boolean {
    let byte = reader.skipSpace();
    while (byte === open) {
      if (this.depth === maxDepth) return false;
      this.counts[this.depth++] = 0;
      reader.at++;
      byte = reader.skipSpace();
    }
    if (this.leafDepth === -1) this.leafDepth = this.depth;
    return this.depth === this.leafDepth;
  }

  /** After numbers. @returns whether more follow; undefined where the nesting is uneven or broken */
  leave(reader: NumberReader, numbers: number): boolean | undefined {
    this.counts[this.depth - 1] = numbers;
    let byte = reader.skipSpace();
    while (byte === close) {
      reader.at++;
      const count = this.counts[--this.depth] ?? 0;
      this.dims[this.depth] ??= count;
      if (this.dims[this.depth] !== count) return undefined;
      if (this.depth === 0) return false;
      this.counts[this.depth - 1] = (this.counts[this.depth - 1] ?? 0) + 1;
      byte = reader.skipSpace();
    }
    if (byte !== comma) return undefined;
    reader.at++;
    return true;
  }
}

// Two loops alike: one that stores into both kinds of arrays is slower for either.

function fillFloats(
  reader: NumberReader,
  nest: Nesting,
  first: Float32Array<ArrayBuffer>,
): Float32Array<ArrayBuffer> | undefined {
  let out = first;
  let filled = 0;
  for (;;) {
    if (!nest.enter(reader)) return undefined;
    const before = filled;
    for (;;) {
      if (!reader.read()) return undefined;
      const value = reader.float32();
      if (value - value !== 0) return undefined;
      if (filled === out.length) out = grown(out, new Float32Array(filled * 2));
      out[filled++] = value;
      if (reader.skipSpace() !== comma || !beforeNumber(reader)) break;
    }
    const more = nest.leave(reader, filled - before);
    if (more === undefined) return undefined;
    if (!more) return filled === out.length ? out : out.slice(0, filled);
  }
}

function fillDoubles(
  reader: NumberReader,
  nest: Nesting,
  first: Float64Array<ArrayBuffer>,
): Float64Array<ArrayBuffer> | undefined {
  let out = first;
  let filled = 0;
  for (;;) {
    if (!nest.enter(reader)) return undefined;
    const before = filled;
    for (;;) {
      // Doubles of 17 digits are the general parser's: it is faster than a string of each.
      if (!reader.read() || !reader.exact) return undefined;
      const { value } = reader;
      if (value - value !== 0) return undefined;
      if (filled === out.length) out = grown(out, new Float64Array(filled * 2));
      out[filled++] = value;
      if (reader.skipSpace() !== comma || !beforeNumber(reader)) break;
    }
    const more = nest.leave(reader, filled - before);
    if (more === undefined) return undefined;
    if (!more) return filled === out.length ? out : out.slice(0, filled);
  }
}

/** Past a comma, unless a bracket follows it. */
function beforeNumber(reader: NumberReader): boolean {
  const at = reader.at++;
  if (reader.skipSpace() !== open) return true;
  reader.at = at;
  return false;
}

function grown<T extends Float32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

function convert(datatype: ScannedDatatype, numbers: Float64Array<ArrayBuffer> | undefined): NumericData | undefined {
  if (datatype === 'FP32' || datatype === 'FP64' || !numbers) return numbers;
  const [low, high] = ranges[datatype];
  for (let index = 0; index < numbers.length; index++) {
    const value = numbers[index] ?? Number.NaN;
    if (!(value >= low && value <= high && Math.trunc(value) === value)) return undefined;
  }
  const out = allocate(datatype, numbers.length);
  if (out instanceof BigInt64Array || out instanceof BigUint64Array) {
    setIntegers(new Int32Array(out.buffer), numbers);
  } else {
    out.set(numbers);
  }
  return out;
}

/** 64-bit integers as their two halves, the lower first: a BigInt for each would cost more than its parsing. */
function setIntegers(halves: Int32Array, numbers: Float64Array): void {
  for (let index = 0; index < numbers.length; index++) {
    const value = numbers[index] ?? 0;
    halves[2 * index] = value;
    halves[2 * index + 1] = Math.floor(value / 2 ** 32);
  }
}
