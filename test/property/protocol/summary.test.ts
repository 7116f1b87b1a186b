import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addCategory,
  addNumber,
  decodeSummary,
  elementsOf,
  emptySummary,
  encodedSummarySchema,
  encodeSummary,
  maxCategories,
  mergeSummary,
  summaryQuantile,
} from '#shared/protocol/summary.js';

const numbers = fc.array(fc.oneof(fc.double(), fc.float(), fc.integer(), fc.constantFrom(0, -0, NaN, Infinity, -999)), {
  maxLength: 200,
});
const summaryOf = (values: readonly number[]) => {
  const summary = emptySummary('numbers');
  for (const value of values) addNumber(summary, value, -999);
  return summary;
};
const round = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

describe('a summary of numbers', () => {
  it('counts every element once, whatever it is, and is the same after the wire', () => {
    fc.assert(
      fc.property(numbers, (values) => {
        const summary = summaryOf(values);
        expect(elementsOf(summary)).toBe(values.length);
        const encoded = encodedSummarySchema.parse(round(encodeSummary(summary)));
        expect(encodeSummary(decodeSummary(encoded) ?? emptySummary('numbers'))).toEqual(encoded);
      }),
    );
  });

  it('merged is the summary of all', () => {
    fc.assert(
      fc.property(numbers, numbers, (a, b) => {
        const merged = summaryOf(a);
        mergeSummary(merged, summaryOf(b));
        const whole = summaryOf([...a, ...b]);
        expect([elementsOf(merged), merged.min, merged.max]).toEqual([elementsOf(whole), whole.min, whole.max]);
        expect(merged.positive.buckets).toEqual(whole.positive.buckets);
        expect(merged.negative.buckets).toEqual(whole.negative.buckets);
      }),
    );
  });

  it('has quantiles within 7 % of a true one, below 0 too', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 200 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (values, q) => {
          const sorted = values.toSorted((a, b) => a - b);
          const truth = sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1] ?? 0;
          const found = summaryQuantile(summaryOf(values), q) ?? NaN;
          expect(Math.abs(found - truth)).toBeLessThanOrEqual(Math.abs(truth) * 0.07 + 1e-11);
        },
      ),
    );
  });

  it('stays small for any million of values', () => {
    const summary = emptySummary('numbers');
    for (let exponent = -300; exponent <= 300; exponent++) {
      for (let part = 1; part < 10; part += 0.1) {
        addNumber(summary, part * 10 ** exponent, undefined);
        addNumber(summary, -part * 10 ** exponent, undefined);
      }
    }
    expect(JSON.stringify(encodeSummary(summary)).length).toBeLessThan(8 * 1024);
  });
});

describe('a summary of categories', () => {
  it('counts each element once, and no more categories than it may', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', ''))), (texts) => {
        const summary = emptySummary('categories');
        for (const text of texts) addCategory(summary, text, undefined);
        expect(elementsOf(summary)).toBe(texts.length);
        const encoded = encodedSummarySchema.parse(round(encodeSummary(summary)));
        expect(elementsOf(decodeSummary(encoded) ?? emptySummary('categories'))).toBe(texts.length);
      }),
    );
  });

  it('counts what is beyond them together, merged too', () => {
    const all = emptySummary('categories');
    for (const from of [0, 40]) {
      const part = emptySummary('categories');
      for (let n = from; n < from + 40; n++) addCategory(part, `c${String(n)}`, undefined);
      mergeSummary(all, part);
    }
    expect([all.counts.size, all.other]).toEqual([maxCategories, 80 - maxCategories]);
  });
});
