import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dependentsOf, findStartCircle, startLevels } from '#shared/kernel/start-order.js';

const names = ['a', 'b', 'c', 'd', 'e'];
const anyOrder = fc.dictionary(fc.constantFrom(...names), fc.uniqueArray(fc.constantFrom(...names, 'gone')), {
  maxKeys: 5,
});

describe('a start order', () => {
  it('has levels, each of which waits for those before it', () => {
    const after = { camera: [], detector: ['camera', 'tracker'], tracker: ['camera'], clock: [] };
    expect(startLevels(after)).toEqual([['camera', 'clock'], ['tracker'], ['detector']]);
    expect(dependentsOf(after, 'camera')).toEqual(['detector', 'tracker']);
    expect(dependentsOf(after, 'clock')).toEqual([]);
  });

  it('takes names that are not there for nothing to wait for', () => {
    expect(startLevels({ a: ['gone'] })).toEqual([['a']]);
  });

  it('says which circle there is', () => {
    expect(findStartCircle({ a: ['b'], b: ['c'], c: ['b'], d: [] })).toEqual(['b', 'c', 'b']);
    expect(findStartCircle({ a: ['a'] })).toEqual(['a', 'a']);
    expect(findStartCircle({ a: ['b', 'c'], b: ['c'], c: [] })).toBeUndefined();
  });

  it('holds every name once, after all that it names, unless there is a circle', () => {
    fc.assert(
      fc.property(anyOrder, (after) => {
        const levels = startLevels(after);
        expect(levels.flat().sort()).toEqual(Object.keys(after).sort());
        if (findStartCircle(after) !== undefined) return;
        for (const [index, level] of levels.entries()) {
          const earlier = levels.slice(0, index).flat();
          for (const name of level) {
            const befores = (after[name] ?? []).filter((one) => Object.hasOwn(after, one));
            expect(earlier).toEqual(expect.arrayContaining(befores));
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});
