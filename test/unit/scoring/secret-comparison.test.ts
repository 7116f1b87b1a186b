/** No clock could tell reliably; that every comparison of a secret goes by equal digests can be seen. */
import { beforeEach, describe, expect, it, vi } from 'vitest';

const compared = vi.hoisted((): [number, number][] => []);
vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof import('node:crypto')>();
  return {
    ...crypto,
    timingSafeEqual: (a: Uint8Array, b: Uint8Array) => {
      compared.push([a.byteLength, b.byteLength]);
      return crypto.timingSafeEqual(a, b);
    },
  };
});

// Test files share what they load.
vi.resetModules();
const { isAmong, secretDigest } = await import('#shared/scoring/access/bearer.js');
const { newApiToken, parseApiToken, sameSecret } = await import('#cloud/auth/api-token.js');

const length: [number, number] = [32, 32];

beforeEach(() => {
  compared.length = 0;
});

describe('a scoring key or control token', () => {
  it.each(['first', 'second', 'third', '', 'x'.repeat(10_000)])(
    'compares digests of one length, all of them, to their end: %s',
    (given) => {
      const known = ['first', 'second', 'third'];
      expect(isAmong(given, known.map(secretDigest))).toBe(known.includes(given));
      expect(compared).toEqual([length, length, length]);
    },
  );
});

describe('an API token', () => {
  it('compares digests of one length, wherever the token is wrong', () => {
    const made = newApiToken();
    for (const at of [made.text.length - 1, made.text.length - 20, made.text.length - 40]) {
      const other = made.text[at] === 'A' ? 'B' : 'A';
      const given = parseApiToken(made.text.slice(0, at) + other + made.text.slice(at + 1));
      if (given !== undefined) expect(sameSecret(given, made.secretHash)).toBe(false);
    }
    const right = parseApiToken(made.text);
    expect(right !== undefined && sameSecret(right, made.secretHash)).toBe(true);
    expect(compared.length).toBeGreaterThan(1);
    expect(new Set(compared.map(String))).toEqual(new Set([String(length)]));
  });
});
