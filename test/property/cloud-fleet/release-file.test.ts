import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { readReleaseFile } from '#cloud/cli/release-file.js';
import { parseYaml } from '#cloud/cli/yaml-input.js';
import { inRange, parseVersionRange } from '#cloud/fleet/version-range.js';

describe('a release file', () => {
  it('is a release, or an error that names the file, whatever its bytes are', () => {
    const words = [
      'kind: release',
      'name: a',
      'modules:',
      '  a:',
      '    image: a:1',
      '&a',
      '*a',
      '- ',
      '{',
      '}',
      '!!js',
      ': ',
    ];
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 80 }),
      fc.array(fc.constantFrom(...words), { maxLength: 12 }).map((lines) => lines.join('\n')),
      fc.nat({ max: 3_000 }).map((depth) => '['.repeat(depth)),
    );
    fc.assert(
      fc.property(text, (given) => {
        try {
          expect(readReleaseFile(parseYaml(given, 'release.yaml'), 'release.yaml').name).toBeDefined();
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
          expect((error as AppError).code).toBe('request.invalid');
          expect((error as AppError).message).toContain('release.yaml');
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe('a range of versions', () => {
  const operator = fc.constantFrom('', '=', '<', '<=', '>', '>=');
  const version = fc.integer({ min: 1, max: 9 });

  it('holds where each of its bounds does', () => {
    const bounds = fc.array(fc.tuple(operator, version), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(bounds, version, (given, asked) => {
        const range = parseVersionRange(given.map(([sign, bound]) => `${sign}${String(bound)}`).join(' '));
        const expected = given.every(([sign, bound]) => {
          const below = sign === '<' || sign === '<=';
          const above = sign === '>' || sign === '>=';
          if (asked === bound) return sign !== '<' && sign !== '>';
          return asked < bound ? below : above;
        });
        expect(inRange(asked, range ?? [])).toBe(expected);
        expect(range).toHaveLength(given.length);
      }),
    );
  });

  it.each(['', '^3', '>= 4', '0', '>=1.2', '4,5', '1234567890', 'latest'])('is not %j', (text) => {
    expect(parseVersionRange(text)).toBeUndefined();
  });
});
