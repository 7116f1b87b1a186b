import { describe, expect, it } from 'vitest';
import { PathClaims } from '#shared/package/path-claims.js';

describe('paths of one folder', () => {
  it.each([
    ['the same file', 'a/b', 'a/b'],
    ['the same file in other letters', 'a/B', 'A/b'],
    ['a file where a folder is', 'a/b', 'a'],
    ['a file below a file', 'a', 'a/b'],
    ['a file below a file, in other letters', 'a', 'A/b/c'],
  ])('cannot be claimed twice: %s', (_what, first, second) => {
    const claims = new PathClaims();
    expect([claims.claimFile(first), claims.claimFile(second)]).toEqual([true, false]);
  });

  it('may share folders', () => {
    const claims = new PathClaims();
    expect([claims.claimFile('a/b'), claims.claimFile('a/c'), claims.claimFolder('a'), claims.claimFile('ab')]).toEqual(
      [true, true, true, true],
    );
  });

  it('of a folder and a file cannot meet', () => {
    const claims = new PathClaims();
    expect([claims.claimFolder('a'), claims.claimFile('a'), claims.claimFile('f'), claims.claimFolder('f/g')]).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });
});
