import fc from 'fast-check';
import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { accountId } from '#shared/platform/installation/accounts.js';
import { readSums } from '#shared/platform/installation/release-files.js';

const digest = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 64, maxLength: 64 });
const part = fc.constantFrom('a', 'b.js', '..', '.', '', 'c d', '...', '\\', '%2e%2e');
const path = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'));
const line = fc.oneof(
  fc.tuple(digest, path).map(([sum, name]) => `${sum}  ${name}`),
  fc.string({ unit: 'binary' }),
);

describe('the list of digests of a release', () => {
  it('names files below it, or is refused with a word about the archive', () => {
    fc.assert(
      fc.property(fc.array(line, { maxLength: 5 }), (lines) => {
        try {
          for (const name of readSums(lines.join('\n')).keys()) {
            expect(posix.join('/release', name)).toMatch(/^\/release(\/|$)/);
            expect(posix.isAbsolute(name)).toBe(false);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
          expect((error as AppError).code).toBe('state.corrupt');
        }
      }),
    );
  });
});

describe('the number of an account', () => {
  it('is a number of a line of that name, in whatever text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.nat({ max: 65_535 }), (noise, id) => {
        const before = noise.replaceAll('flotilla:', '');
        expect(accountId(`${before}\nflotilla:x:${String(id)}:\n${before}`, 'flotilla')).toBe(id);
        expect(accountId(before, 'flotilla')).toBeUndefined();
      }),
    );
  });
});
