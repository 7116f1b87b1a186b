import { describe, expect, it } from 'vitest';
import { generateSigningKey } from '#shared/package/signing-key.js';

describe('a signing key that is made', () => {
  it('has a public key that no command line takes for an option', () => {
    // One of 64 would begin so; that none of a thousand does by chance is less likely than a broken disk.
    const keys = Array.from({ length: 1000 }, () => generateSigningKey().publicKey);
    expect(keys.filter((key) => key.startsWith('-'))).toEqual([]);
  });
});
