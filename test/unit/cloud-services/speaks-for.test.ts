import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Endpoint, ServiceDeployment } from '#cloud/services/control/endpoint-model.js';
import { speaksFor } from '#cloud/services/openapi/endpoint-api.js';

const speaker = (traffic: Readonly<Record<string, number>>, names: readonly string[], wanted?: string): string =>
  speaksFor(
    { name: 'fraud', traffic } as unknown as Endpoint,
    names.map((name) => ({ name }) as ServiceDeployment),
    wanted,
  ).name;

describe('which deployment speaks for an endpoint', () => {
  it('is the one with most traffic, wherever it stands', () => {
    expect(speaker({ blue: 10, green: 90 }, ['blue', 'green'])).toBe('green');
    expect(speaker({ blue: 10, green: 90 }, ['green', 'blue'])).toBe('green');
    expect(speaker({ red: 100 }, ['blue', 'green', 'red'])).toBe('red');
  });

  it('is the first by name of those with equally much, and where none has any', () => {
    expect(speaker({ green: 50, blue: 50 }, ['green', 'blue'])).toBe('blue');
    expect(speaker({}, ['red', 'green', 'blue'])).toBe('blue');
  });

  it('is the one that was asked for, whatever its traffic', () => {
    expect(speaker({ blue: 100 }, ['blue', 'green'], 'green')).toBe('green');
    expect(() => speaker({ blue: 100 }, ['blue'], 'blu')).toThrow('did you mean blue?');
    expect(() => speaker({}, [])).toThrow('flotilla deployment create');
  });

  it('does not depend on the order in which they are listed', () => {
    const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { minLength: 1 });
    const traffic = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.nat(2));
    fc.assert(
      fc.property(names, traffic, (all, shares) => {
        expect(speaker(shares, all.toReversed())).toBe(speaker(shares, all));
      }),
      { numRuns: 50 },
    );
  });
});
