import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { generateSigningKey, type SigningKey } from '#shared/package/signing-key.js';
import { acceptTrust } from '#shared/package/trust-acceptance.js';
import { envelopeSchema } from '#shared/protocol/envelope.js';
import type { Trust } from '#shared/protocol/trust.js';
import { pins, signTrust, trustDocument } from '#test/support/trust-documents.js';

const publishers = Array.from({ length: 3 }, generateSigningKey);
const strangers = Array.from({ length: 2 }, generateSigningKey);
const director = generateSigningKey();

/** Any chain of versions that anybody at all may have signed. */
const offers = fc.array(
  fc.record({
    version: fc.integer({ min: 1, max: 6 }),
    listed: fc.uniqueArray(fc.constantFrom(...publishers, ...strangers), { minLength: 1, maxLength: 4 }),
    signers: fc.uniqueArray(fc.constantFrom(...publishers, ...strangers), { minLength: 1, maxLength: 4 }),
    threshold: fc.integer({ min: 1, max: 3 }),
  }),
  { maxLength: 12 },
);

describe('whatever versions are offered, in whatever order', () => {
  it('the version never falls, and each step has signers of the one before it and of itself', () => {
    fc.assert(
      fc.property(offers, (chain) => {
        let current: Trust = pins(publishers.slice(0, 1), [director]);
        for (const { version, listed, signers, threshold } of chain) {
          const envelope = signTrust(trustDocument(version, listed, [director], { threshold }), ...signers);
          const verdict = acceptTrust(envelope, { ...current, workspace: 'w' });
          if (!verdict.ok || !verdict.value.news) continue;
          const signed = (keys: readonly string[]): number =>
            keys.filter((key) => signers.some((one: SigningKey) => one.publicKey === key)).length;
          expect(version === current.version + 1 || current.version === 0).toBe(true);
          expect(signed(current.publishers)).toBeGreaterThanOrEqual(current.threshold);
          expect(signed(verdict.value.document.publishers)).toBeGreaterThanOrEqual(threshold);
          current = verdict.value.document;
        }
      }),
    );
  });

  it('no bit of a signed document can be turned without it being refused', () => {
    const current = { ...pins(publishers.slice(0, 1), [director]), workspace: 'w' };
    const envelope = signTrust(trustDocument(1, publishers, [director]), ...publishers.slice(0, 1));
    const payload = Buffer.from(envelope.payload, 'base64');
    fc.assert(
      fc.property(fc.nat(payload.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
        const turned = Buffer.from(payload);
        turned[at] = (turned[at] ?? 0) ^ bits;
        expect(acceptTrust({ ...envelope, payload: turned.toString('base64') }, current).ok).toBe(false);
      }),
    );
  });

  it('an envelope of any content is judged without throwing', () => {
    const current = { ...pins(publishers.slice(0, 1), [director]), workspace: 'w' };
    const text = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('base64'));
    const anything = fc.oneof(
      fc.record({
        payloadType: fc.string({ maxLength: 80 }),
        payload: text,
        signatures: fc.array(fc.record({ keyid: fc.string({ maxLength: 70 }), sig: text }), {
          minLength: 1,
          maxLength: 4,
        }),
      }),
      // Signed by a publisher, and anything at all.
      fc.dictionary(fc.string(), fc.jsonValue()).map((value) => signTrust(value, ...publishers.slice(0, 1))),
    );
    fc.assert(
      fc.property(anything, (value) => {
        const parsed = envelopeSchema.safeParse(value);
        if (parsed.success) expect(acceptTrust(parsed.data, current).ok).toBe(false);
      }),
    );
  });
});
