import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { floatListText } from '#shared/scoring/codec/float-text.js';

const numRuns = Number(process.env['FLOTILLA_SCAN_RUNS'] ?? 20_000);
const bits = fc
  .integer({ min: 0, max: 0xffff_ffff })
  .map((word) => new Float32Array(Uint32Array.of(word).buffer)[0] ?? 0);
const near = fc.tuple(fc.integer({ min: -50, max: 40 }), fc.integer({ min: -2, max: 2 })).map(([exponent, steps]) => {
  const word = new Uint32Array(Float32Array.of(10 ** exponent).buffer)[0] ?? 0;
  return new Float32Array(Uint32Array.of(Math.max(0, word + steps)).buffer)[0] ?? 0;
});
const usual = fc.float({ min: -1000, max: 1000, noNaN: true });
const decimals = fc
  .tuple(fc.integer({ min: -9_999_999, max: 9_999_999 }), fc.integer({ min: -20, max: 10 }))
  .map(([digits, exponent]) => Math.fround(Number(`${String(digits)}e${String(exponent)}`)));
const floats = fc.oneof(bits, near, usual, decimals).filter(Number.isFinite);

/** As JavaScript writes the number with the fewest digits that are the same float. */
function fewestDigits(value: number): number {
  for (let precision = 1; precision < 9; precision++) {
    if (Math.fround(Number(value.toPrecision(precision))) === value) return precision;
  }
  return 9;
}

describe('floats as JSON text', () => {
  test('any finite float: JSON that reads back as the same float, in the fewest digits unless it is whole', () => {
    fc.assert(
      fc.property(fc.array(floats, { minLength: 1, maxLength: 8 }), (list) => {
        const values = Float32Array.from(list);
        const text = floatListText(values);
        const read = JSON.parse(`[${text}]`) as number[];
        expect(Float32Array.from(read)).toEqual(values.map((value) => value + 0));
        for (const [index, number] of text.split(',').entries()) {
          const digits = number.replace(/e.*$/, '').replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '');
          const value = values[index] ?? 0;
          if (!(Number.isInteger(value) && Math.abs(value) < 1e9)) {
            expect(digits.length).toBeLessThanOrEqual(fewestDigits(value));
          }
          expect(number).toBe(String(read[index]));
        }
      }),
      { numRuns },
    );
  });

  test.each([
    [0, '0'],
    [-0, '0'],
    [0.1, '0.1'],
    [-1.5, '-1.5'],
    [16_777_216, '16777216'],
    [1e-7, '1e-7'],
    [1.25e-7, '1.25e-7'],
    [0.000001, '0.000001'],
    [3.4028234663852886e38, '3.4028235e+38'],
    [1.401298464324817e-45, '1e-45'],
  ])('%d', (value, text) => expect(floatListText(Float32Array.of(value))).toBe(text));

  test('more than fit into one piece: all of them', () => {
    const values = Float32Array.from({ length: 10_000 }, (_, index) => index / 7);
    expect(Float32Array.from(JSON.parse(`[${floatListText(values)}]`) as number[])).toEqual(values);
    expect(floatListText(new Float32Array())).toBe('');
  });
});
