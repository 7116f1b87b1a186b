/**
 * What a tensor's elements were like over an interval: a sketch of numbers, negative ones too, or counts of
 * categories. Merging adds. Numbers go into the sketches rounded to an eighth of an octave, so that a quantile is
 * within 6 % of a true one and a summary stays small whatever comes; sum, least and greatest are exact.
 */
import * as z from 'zod';
import { counterSchema } from './primitives.js';
import {
  addToSketch,
  decodeSketch,
  emptySketch,
  encodedSketchSchema,
  encodeSketch,
  mergeSketch,
  quantile,
  type Sketch,
} from './sketch.js';

/** Categories that are counted apart; further ones are counted together. */
export const maxCategories = 64;
const maxCategoryLength = 64;

const numberSummarySchema = z.object({
  kind: z.literal('numbers'),
  /** Elements equal to what the module names as missing; neither they nor the next two are in the sketches. */
  missing: counterSchema,
  nan: counterSchema,
  infinite: counterSchema,
  sum: z.number(),
  min: z.number().nullable(),
  max: z.number().nullable(),
  /** Of elements from 0 up, and of the sizes of those below. */
  positive: encodedSketchSchema,
  negative: encodedSketchSchema,
});

const categorySummarySchema = z.object({
  kind: z.literal('categories'),
  missing: counterSchema,
  counts: z
    .record(z.string().max(maxCategoryLength), counterSchema)
    .refine((counts) => Object.keys(counts).length <= maxCategories, `at most ${String(maxCategories)} categories`)
    .meta({ maxProperties: maxCategories }),
  /** Elements of categories that are not counted apart. */
  other: counterSchema,
});

export const encodedSummarySchema = z.discriminatedUnion('kind', [numberSummarySchema, categorySummarySchema]);
export type EncodedSummary = z.infer<typeof encodedSummarySchema>;

export interface NumberSummary {
  readonly kind: 'numbers';
  missing: number;
  nan: number;
  infinite: number;
  sum: number;
  min: number | null;
  max: number | null;
  readonly positive: Sketch;
  readonly negative: Sketch;
}

export interface CategorySummary {
  readonly kind: 'categories';
  missing: number;
  readonly counts: Map<string, number>;
  other: number;
}

export type Summary = NumberSummary | CategorySummary;

export function emptySummary(kind: 'numbers'): NumberSummary;
export function emptySummary(kind: 'categories'): CategorySummary;
export function emptySummary(kind: Summary['kind']): Summary;
export function emptySummary(kind: Summary['kind']): Summary {
  if (kind === 'categories') return { kind, missing: 0, counts: new Map(), other: 0 };
  const sketches = { positive: emptySketch(), negative: emptySketch() };
  return { kind, missing: 0, nan: 0, infinite: 0, sum: 0, min: null, max: null, ...sketches };
}

/** Beyond a float32 all is infinite. */
const largest = 3.4e38;

export function addNumber(summary: NumberSummary, value: number, missing: number | undefined): void {
  if (value === missing) summary.missing += 1;
  else if (Number.isNaN(value)) summary.nan += 1;
  else if (value > largest || value < -largest) summary.infinite += 1;
  else {
    summary.sum += value;
    if (summary.min === null || value < summary.min) summary.min = value;
    if (summary.max === null || value > summary.max) summary.max = value;
    addToSketch(value < 0 ? summary.negative : summary.positive, rounded(Math.abs(value)));
  }
}

/** An empty text counts as missing. */
export function addCategory(summary: CategorySummary, text: string, missing: string | undefined): void {
  if (text === '' || text === missing) summary.missing += 1;
  else countCategory(summary, text.slice(0, maxCategoryLength), 1);
}

/** Elements that it saw. */
export function elementsOf(summary: Summary): number {
  if (summary.kind === 'numbers') {
    return summary.missing + summary.nan + summary.infinite + summary.positive.count + summary.negative.count;
  }
  let seen = summary.missing + summary.other;
  for (const inCategory of summary.counts.values()) seen += inCategory;
  return seen;
}

/** Of two kinds, which a module's next version may have, the first stays as it is. */
export function mergeSummary(into: Summary, from: Summary): void {
  if (into.kind === 'numbers' && from.kind === 'numbers') {
    into.missing += from.missing;
    into.nan += from.nan;
    into.infinite += from.infinite;
    into.sum += from.sum;
    if (from.min !== null && (into.min === null || from.min < into.min)) into.min = from.min;
    if (from.max !== null && (into.max === null || from.max > into.max)) into.max = from.max;
    mergeSketch(into.positive, from.positive);
    mergeSketch(into.negative, from.negative);
  } else if (into.kind === 'categories' && from.kind === 'categories') {
    into.missing += from.missing;
    into.other += from.other;
    for (const [text, times] of from.counts) countCategory(into, text, times);
  }
}

/** @param q in [0, 1] @returns null where there are no numbers */
export function summaryQuantile({ positive, negative, min, max }: NumberSummary, q: number): number | null {
  const total = positive.count + negative.count;
  if (total === 0 || min === null || max === null) return null;
  const rank = Math.max(1, Math.ceil(q * total));
  // The least number is the greatest of the sizes below 0.
  const found =
    rank <= negative.count
      ? -(quantile(negative, (negative.count - rank + 1) / negative.count) ?? 0)
      : (quantile(positive, (rank - negative.count) / positive.count) ?? 0);
  return Math.min(max, Math.max(min, found));
}

export function encodeSummary(summary: Summary): EncodedSummary {
  if (summary.kind === 'categories') return { ...summary, counts: Object.fromEntries(summary.counts) };
  return { ...summary, positive: encodeSketch(summary.positive), negative: encodeSketch(summary.negative) };
}

/** Undefined where a sketch is none. */
export function decodeSummary(encoded: EncodedSummary): Summary | undefined {
  if (encoded.kind === 'categories') return { ...encoded, counts: new Map(Object.entries(encoded.counts)) };
  const [positive, negative] = [decodeSketch(encoded.positive), decodeSketch(encoded.negative)];
  return positive && negative && { ...encoded, positive, negative };
}

/** Adds elements of one category. */
export function countCategory(summary: CategorySummary, text: string, times: number): void {
  const before = summary.counts.get(text);
  const isNew = before === undefined;
  // One name can be no key of a JSON object that everybody reads alike.
  if ((isNew && summary.counts.size >= maxCategories) || text === '__proto__') summary.other += times;
  else summary.counts.set(text, (before ?? 0) + times);
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);
/** What is nearer to 0 counts as 0, what is greater as this: a sketch then has some 600 buckets at most. */
const [least, greatest] = [2 ** -40, 2 ** 40];

/** The middle of the value's eighth of an octave. */
function rounded(size: number): number {
  if (size < least) return 0;
  float[0] = Math.min(size, greatest);
  bits[0] = ((bits[0] ?? 0) & 0xfff00000) | 0x00080000;
  return float[0];
}
