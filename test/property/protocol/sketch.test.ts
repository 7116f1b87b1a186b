import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addToSketch,
  decodeSketch,
  type EncodedSketch,
  emptySketch,
  encodeSketch,
  encodedSketchSchema,
  mergeSketch,
  quantile,
  type Sketch,
} from '#shared/protocol/sketch.js';

/** Latencies in milliseconds, and what lies around them. */
const value = fc.oneof(
  { weight: 4, arbitrary: fc.double({ min: 1e-3, max: 1e6, noNaN: true }) },
  { weight: 1, arbitrary: fc.double({ min: 0, max: 3.4e38, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 1.03125, 2, 0.5, 1e-45, 3.4e38) },
);
const values = fc.array(value, { maxLength: 200 });

function sketchOf(numbers: readonly number[]): Sketch {
  const sketch = emptySketch();
  for (const number of numbers) addToSketch(sketch, number);
  return sketch;
}

function merged(...sketches: readonly Sketch[]): Sketch {
  const all = emptySketch();
  for (const sketch of sketches) mergeSketch(all, sketch);
  return all;
}

/** All of a sketch but its sum, which is of floating point and so depends on the order. */
function exactPart({ sum: _sum, buckets, ...rest }: Sketch): object {
  return { ...rest, buckets: [...buckets].sort(([a], [b]) => a - b) };
}

function expectSame(a: Sketch, b: Sketch): void {
  expect(exactPart(a)).toEqual(exactPart(b));
  expect(Math.abs(a.sum - b.sum)).toBeLessThanOrEqual(Math.abs(a.sum) * 1e-9);
}

describe('merging', () => {
  it('is commutative and associative, and the same as having seen all values in one place', () => {
    fc.assert(
      fc.property(values, values, values, (a, b, c) => {
        const [sa, sb, sc] = [sketchOf(a), sketchOf(b), sketchOf(c)];
        expectSame(merged(sa, sb), merged(sb, sa));
        expectSame(merged(merged(sa, sb), sc), merged(sa, merged(sb, sc)));
        expectSame(merged(sa, sb, sc), sketchOf([...a, ...b, ...c]));
      }),
    );
  });

  it('leaves the other sketch as it was, and with an empty one changes nothing', () => {
    fc.assert(
      fc.property(values, (numbers) => {
        const one = sketchOf(numbers);
        expectSame(merged(one, emptySketch()), one);
        mergeSketch(emptySketch(), one);
        expectSame(one, sketchOf(numbers));
      }),
    );
  });
});

describe('a quantile', () => {
  it('is within 1.6 % of the value of that rank', () => {
    fc.assert(
      fc.property(
        fc.array(value, { minLength: 1, maxLength: 300 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (numbers, q) => {
          const sorted = [...numbers].sort((a, b) => a - b);
          const exact = sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1] ?? Number.NaN;
          const found = quantile(sketchOf(numbers), q) ?? Number.NaN;
          // Below the normal floats buckets have a width of their own.
          expect(Math.abs(found - exact)).toBeLessThanOrEqual(exact * 0.016 + 1e-37);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('rises with q and stays between the least and the greatest value', () => {
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 50 }), (numbers) => {
        const sketch = sketchOf(numbers);
        const found = [0, 0.1, 0.5, 0.9, 0.99, 1].map((q) => quantile(sketch, q) ?? Number.NaN);
        expect(found).toEqual([...found].sort((a, b) => a - b));
        expect(found[0]).toBeGreaterThanOrEqual(Math.min(...numbers));
        expect(found.at(-1)).toBeLessThanOrEqual(Math.max(...numbers));
      }),
    );
  });

  it('of nothing is nothing', () => {
    expect(quantile(emptySketch(), 0.5)).toBeNull();
  });
});

describe('adding', () => {
  it('refuses what is no number, and takes the rest into its range', () => {
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const sketch = emptySketch();
      expect(addToSketch(sketch, odd)).toBe(false);
      expect(sketch).toEqual(emptySketch());
    }
    const sketch = sketchOf([-5, -0, Number.MAX_VALUE, Number.MAX_VALUE]);
    expect(sketch).toMatchObject({ count: 4, min: 0, max: 3.4e38 });
    expect(encodedSketchSchema.safeParse(encodeSketch(sketch)).success).toBe(true);
    expect(decodeSketch(encodeSketch(sketch))).toEqual(sketch);
  });
});

describe('the wire form', () => {
  it('comes out as it went in, through JSON, and fits its schema', () => {
    fc.assert(
      fc.property(values, (numbers) => {
        const sketch = sketchOf(numbers);
        const wire = encodedSketchSchema.parse(JSON.parse(JSON.stringify(encodeSketch(sketch))));
        expect(decodeSketch(wire)).toEqual({
          ...sketch,
          buckets: new Map([...sketch.buckets].sort(([a], [b]) => a - b)),
        });
      }),
    );
  });

  it('decodes merged sketches too, whatever was lost to rounding in the sum', () => {
    fc.assert(
      fc.property(fc.array(values, { maxLength: 10 }), (parts) => {
        const sketch = merged(...parts.map(sketchOf));
        expect(decodeSketch(encodeSketch(sketch))).toBeDefined();
      }),
    );
  });

  it('of random bytes never throws, and what it accepts has sane quantiles', () => {
    const bytes = fc.uint8Array({ maxLength: 40 }).map((raw) => Buffer.from(raw).toString('base64'));
    const hostile = fc.record<EncodedSketch>({
      count: fc.nat({ max: 300 }),
      sum: fc.double({ noNaN: true }),
      min: fc.option(fc.double({ noNaN: true })),
      max: fc.option(fc.double({ noNaN: true })),
      buckets: fc.oneof(bytes, fc.string({ unit: 'binary' })),
    });
    fc.assert(
      fc.property(hostile, (encoded) => {
        const sketch = decodeSketch(encoded);
        if (sketch === undefined || sketch.count === 0) return;
        expect(Number.isFinite(quantile(sketch, 0.5))).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  const base64 = (...bytes: number[]): string => Buffer.from(bytes).toString('base64');
  /** The bucket of 1 is 127 << 5 = 4064: varint e0 1f. */
  const one: EncodedSketch = { count: 1, sum: 1, min: 1, max: 1, buckets: base64(0xe0, 0x1f, 1) };

  it('of one value is known to the byte', () => {
    expect(encodeSketch(sketchOf([1]))).toEqual(one);
    expect(decodeSketch(one)).toEqual(sketchOf([1]));
  });

  it.each<[string, Partial<EncodedSketch>]>([
    ['a count that the buckets do not have', { count: 2, sum: 2 }],
    ['no buckets but a count', { buckets: '' }],
    ['buckets but no count', { count: 0 }],
    ['an empty bucket', { buckets: base64(0xe0, 0x1f, 1, 1, 0) }],
    [
      'an empty bucket between two others',
      { count: 2, sum: 2.0625, max: 1.0625, buckets: base64(0xe0, 0x1f, 1, 1, 0, 1, 1) },
    ],
    ['the same bucket twice', { count: 2, sum: 2, buckets: base64(0xe0, 0x1f, 1, 0, 1) }],
    ['half a pair', { buckets: base64(0xe0, 0x1f) }],
    ['half a varint', { buckets: base64(0xe0, 0x1f, 0x81) }],
    ['a varint that never ends', { buckets: base64(...Array.from({ length: 60 }, () => 0xff)) }],
    ['a count beyond 2^53', { buckets: base64(0xe0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f) }],
    ['a bucket of a negative number', { min: 1, max: 1, buckets: base64(0xe0, 0x5f, 1) }],
    ['a bucket of infinity', { buckets: base64(0xe0, 0x3f, 1) }],
    ['a bucket of NaN', { buckets: base64(0xff, 0x3f, 1) }],
    ['a bucket beyond all', { buckets: base64(0xff, 0xff, 0x7f, 1) }],
    ['no least value', { min: null }],
    ['no greatest value', { max: null }],
    ['a least value above the greatest', { min: 2 }],
    ['a negative least value', { min: -1 }],
    ['a least value of another bucket', { min: 0.5 }],
    ['a greatest value of another bucket', { max: 100, sum: 50 }],
    ['a sum that the values cannot have', { sum: 1e12 }],
    ['a negative sum', { sum: -1 }],
    ['letters that are no base64', { buckets: '***' }],
    ['letters beyond Latin', { buckets: '日本' }],
  ])('is refused with %s', (_what, change) => {
    expect(decodeSketch({ ...one, ...change })).toBeUndefined();
  });
});
