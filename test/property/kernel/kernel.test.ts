import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs } from '#shared/kernel/backoff.js';
import { messageOf, toProblem } from '#shared/kernel/errors.js';
import { formatReference, isName, nearest, parseReference } from '#shared/kernel/names.js';

describe('backoff', () => {
  const policy = fc
    .record({ baseMs: fc.integer({ min: 1, max: 60_000 }), more: fc.integer({ min: 0, max: 3_600_000 }) })
    .map(({ baseMs, more }) => ({ baseMs, maxMs: baseMs + more }));
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  it('lies between half its ceiling and the ceiling, whatever the attempt', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), policy, random, (attempt, limits, chance) => {
        const ceiling = Math.min(limits.maxMs, limits.baseMs * 2 ** Math.min(attempt - 1, 30));
        const delay = backoffMs(attempt, limits, chance);
        expect(delay).toBeGreaterThanOrEqual(Math.floor(ceiling / 2));
        expect(delay).toBeLessThanOrEqual(ceiling);
        expect(Number.isSafeInteger(delay)).toBe(true);
      }),
    );
  });

  it('never shrinks with a further failure at the same chance', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), policy, random, (attempt, limits, chance) => {
        expect(backoffMs(attempt + 1, limits, chance)).toBeGreaterThanOrEqual(backoffMs(attempt, limits, chance));
      }),
    );
  });

  it('is nothing before the first failure', () => {
    fc.assert(
      fc.property(
        fc.integer({ max: 0 }),
        policy,
        random,
        (attempt, limits, chance) => backoffMs(attempt, limits, chance) === 0,
      ),
    );
  });
});

describe('names', () => {
  const name = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,62}$/);

  it('never hold what means something in a topic, a path or a URL', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 70 }), (text) => {
        if (isName(text)) expect(text).not.toMatch(/[/+#.$\s%?:\\]|[^\x21-\x7e]/);
      }),
    );
  });

  it('come back from a reference as they went in', () => {
    fc.assert(
      fc.property(name, fc.integer({ min: 1, max: 999_999_999 }), (text, version) => {
        expect(parseReference(formatReference({ name: text, version }))).toEqual({ name: text, version });
      }),
    );
  });

  it('are found again by nearest when typed exactly, and nearest invents none', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 20 }), fc.array(name, { maxLength: 8 }), (typed, valid) => {
        const found = nearest(typed, valid);
        if (found !== undefined) expect(valid).toContain(found);
        for (const word of valid) expect(nearest(word, valid)).toBe(word);
      }),
    );
  });
});

describe('anything that was thrown', () => {
  it('has a message and a problem', () => {
    fc.assert(
      fc.property(fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true }), (thrown) => {
        expect(typeof messageOf(thrown)).toBe('string');
        expect(toProblem(thrown).code).toBe('internal');
      }),
    );
  });
});
