/**
 * A mergeable quantile sketch: a log-linear histogram whose bucket is the upper 14 bits of the
 * value's float32 form (sign always 0, 8 exponent bits, 5 mantissa bits), so each bucket spans at
 * most 1/32 of its value and any quantile is within 1.6 % of a true one. Merging adds counts.
 *
 * Wire form: base64 of varints, pairs of (bucket difference, count), ascending.
 */
import * as z from 'zod';
import { type BucketPairs, readBuckets, writeBuckets } from './sketch-bytes.js';

const shift = 18;
/** Just under the largest float32, so that rounding up stays finite. */
const largest = 3.4e38;
const scratch = new DataView(new ArrayBuffer(4));

export const encodedSketchSchema = z.object({
  count: z.int().min(0),
  sum: z.number(),
  min: z.number().nullable(),
  max: z.number().nullable(),
  buckets: z.base64().max(16_384),
});
export type EncodedSketch = z.infer<typeof encodedSketchSchema>;

export interface Sketch {
  count: number;
  sum: number;
  min: number | null;
  max: number | null;
  readonly buckets: Map<number, number>;
}

export function emptySketch(): Sketch {
  return { count: 0, sum: 0, min: null, max: null, buckets: new Map() };
}

/** Adds one value; negative values count as 0, those above {@link largest} as it; NaN and infinities are refused by returning false. */
export function addToSketch(sketch: Sketch, value: number): boolean {
  if (!Number.isFinite(value)) return false;
  const positive = Math.min(largest, Math.max(0, value));
  sketch.count += 1;
  sketch.sum += positive;
  sketch.min = sketch.min === null ? positive : Math.min(sketch.min, positive);
  sketch.max = sketch.max === null ? positive : Math.max(sketch.max, positive);
  const bucket = bucketOf(positive);
  sketch.buckets.set(bucket, (sketch.buckets.get(bucket) ?? 0) + 1);
  return true;
}

export function mergeSketch(into: Sketch, from: Sketch): void {
  into.count += from.count;
  into.sum += from.sum;
  if (from.min !== null) into.min = into.min === null ? from.min : Math.min(into.min, from.min);
  if (from.max !== null) into.max = into.max === null ? from.max : Math.max(into.max, from.max);
  for (const [bucket, count] of from.buckets) into.buckets.set(bucket, (into.buckets.get(bucket) ?? 0) + count);
}

/**
 * @param q in [0, 1]
 * @returns the middle of the bucket that holds the quantile, within [min, max]; null when empty
 */
export function quantile(sketch: Sketch, q: number): number | null {
  if (sketch.count === 0 || sketch.min === null || sketch.max === null) return null;
  const rank = Math.max(1, Math.ceil(q * sketch.count));
  let seen = 0;
  for (const [bucket, count] of sorted(sketch)) {
    seen += count;
    if (seen >= rank) return Math.min(sketch.max, Math.max(sketch.min, middleOf(bucket)));
  }
  return sketch.max;
}

/**
 * Values up to each bound, and beyond the last, as a histogram has them; a bucket that a bound cuts counts whole where
 * its middle is.
 *
 * @param bounds ascending
 */
export function histogramOf(sketch: Sketch, bounds: readonly number[]): number[] {
  const counts = new Array<number>(bounds.length + 1).fill(0);
  for (const [bucket, count] of sketch.buckets) {
    const value = middleOf(bucket);
    const found = bounds.findIndex((bound) => value <= bound);
    const at = found < 0 ? bounds.length : found;
    counts[at] = (counts[at] ?? 0) + count;
  }
  return counts;
}

/** What is in each bucket, by its middle, ascending. */
export function bucketsOf(sketch: Sketch): { readonly value: number; readonly count: number }[] {
  return sorted(sketch).map(([bucket, count]) => ({ value: middleOf(bucket), count }));
}

export function encodeSketch(sketch: Sketch): EncodedSketch {
  const { count, sum, min, max } = sketch;
  const pairs: number[] = [];
  for (const [bucket, inBucket] of sorted(sketch)) pairs.push(bucket, inBucket);
  return { count, sum, min, max, buckets: writeBuckets(pairs) };
}

/** Undefined when the bytes are not a sketch, or disagree with its count, sum, min or max. */
export function decodeSketch(encoded: EncodedSketch): Sketch | undefined {
  const pairs = bucketsIn(encoded);
  if (pairs === undefined) return undefined;
  const buckets = new Map<number, number>();
  for (let at = 0; at < pairs.length; at += 2) buckets.set(pairs[at] ?? 0, pairs[at + 1] ?? 0);
  return { count: encoded.count, sum: encoded.sum, min: encoded.min, max: encoded.max, buckets };
}

/** What {@link decodeSketch} reads, before it is a sketch. */
export function bucketsIn(encoded: EncodedSketch): BucketPairs | undefined {
  const pairs = readBuckets(encoded.buckets);
  return pairs !== undefined && describes(encoded, pairs) ? pairs : undefined;
}

/** Can a sketch with these buckets have this count, sum, min and max? */
function describes({ count, sum, min, max }: EncodedSketch, pairs: BucketPairs): boolean {
  let total = 0;
  for (let at = 1; at < pairs.length; at += 2) total += pairs[at] ?? 0;
  if (total !== count || !Number.isSafeInteger(total)) return false;
  if (total === 0) return sum === 0 && min === null && max === null;
  if (min === null || max === null || min < 0 || min > max) return false;
  // A mean outside [min, max] is a lie, but for the rounding of many additions.
  const mean = sum / count;
  const slack = max * 1e-6;
  if (mean < min - slack || mean > max + slack) return false;
  // Hence none is of those beyond, which stand for negative numbers, infinities and NaN: no sketch has them.
  return bucketOf(min) === pairs[0] && bucketOf(max) === pairs[pairs.length - 2];
}

function bucketOf(value: number): number {
  scratch.setFloat32(0, Math.min(value, largest));
  return scratch.getUint32(0) >>> shift;
}

function middleOf(bucket: number): number {
  scratch.setUint32(0, (bucket << shift) >>> 0);
  const low = scratch.getFloat32(0);
  scratch.setUint32(0, ((bucket + 1) << shift) >>> 0);
  const high = scratch.getFloat32(0);
  return Number.isFinite(high) ? (low + high) / 2 : low;
}

function sorted(sketch: Sketch): [number, number][] {
  return [...sketch.buckets].sort(([a], [b]) => a - b);
}
