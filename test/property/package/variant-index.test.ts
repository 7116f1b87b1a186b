import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { digestOf } from '#shared/package/digest.js';
import {
  encodeVariantIndex,
  type IndexedVariant,
  isVariantIndex,
  readVariantIndex,
} from '#shared/package/variant-index.js';
import { acceleratorKinds, precisions } from '#shared/protocol/accelerators.js';

const digest = fc
  .array(fc.constantFrom(...'0123456789abcdef'), { minLength: 64, maxLength: 64 })
  .map((digits) => `sha256:${digits.join('')}`);
const variant: fc.Arbitrary<IndexedVariant> = fc.record({
  name: fc.constantFrom('a', 'detector-int8'),
  digest,
  size: fc.integer({ min: 1, max: 1000 }),
  accelerator: fc.constantFrom(...acceleratorKinds),
  precision: fc.constantFrom(...precisions),
  providers: fc.uniqueArray(fc.constantFrom('cpu', 'cuda', 'webgpu'), { minLength: 1 }),
});
const index = fc.record({
  name: fc.constant('detector'),
  variants: fc.uniqueArray(variant, { minLength: 1, maxLength: 16, selector: (one) => one.digest }),
});

const read = (bytes: Uint8Array) => readVariantIndex(bytes, digestOf(bytes));

describe('an index of variants', () => {
  it('says what was put in, in its order', () => {
    fc.assert(
      fc.property(index, (given) => {
        const bytes = encodeVariantIndex(given);
        expect(isVariantIndex(bytes)).toBe(true);
        expect(read(bytes)).toEqual(given);
      }),
      { numRuns: 40 },
    );
  });

  it('is refused with a reason where its bytes were changed, never otherwise', () => {
    fc.assert(
      fc.property(index, fc.nat(), fc.integer({ min: 0, max: 255 }), (given, place, byte) => {
        const bytes = Uint8Array.from(encodeVariantIndex(given));
        bytes[place % bytes.length] = byte;
        try {
          read(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
        isVariantIndex(bytes);
      }),
      { numRuns: 100 },
    );
  });

  it('is refused under another digest, and where it names an image twice', () => {
    const one = { name: 'a', size: 1, accelerator: 'cpu', precision: 'fp32', providers: ['cpu'] } as const;
    const twice = { ...one, digest: `sha256:${'1'.repeat(64)}` };
    const bytes = encodeVariantIndex({ name: 'detector', variants: [twice, twice] });
    expect(() => read(bytes)).toThrow('twice');
    expect(() => readVariantIndex(bytes, twice.digest)).toThrow('has the digest');
  });
});
