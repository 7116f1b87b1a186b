import { describe, expect, it } from 'vitest';
import { joinSignatures, signEnvelope, verifyEnvelope } from '#shared/package/dsse.js';
import {
  exportPrivateKeyPem,
  generateSigningKey,
  importPrivateKeyPem,
  keyIdOf,
  publicKeyObject,
} from '#shared/package/signing-key.js';
import { AppError } from '#shared/kernel/errors.js';

/** The first test key of RFC 8032 section 7.1. */
const rfcKeyPem = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
`;
const type = 'http://example.com/HelloWorld';
const payload = new TextEncoder().encode('hello world');

describe('a signing key', () => {
  it('read from PEM has the public key of the RFC', () => {
    expect(importPrivateKeyPem(rfcKeyPem).publicKey).toBe('11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo');
  });

  it('survives export and import', () => {
    const key = generateSigningKey();
    const again = importPrivateKeyPem(exportPrivateKeyPem(key));
    expect([again.keyId, again.publicKey]).toEqual([key.keyId, key.publicKey]);
    expect(key.keyId).toBe(keyIdOf(key.publicKey));
    expect(key.keyId).toMatch(/^[0-9a-f]{64}$/);
  });

  it('that is no PEM is refused without quoting it', () => {
    expect(() => importPrivateKeyPem('my secret')).toThrow(AppError);
    expect(() => importPrivateKeyPem('my secret')).not.toThrow(/my secret/);
  });

  it.each(['', 'AAAA', '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp', '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo'])(
    'in another spelling is no public key: %j',
    (text) => {
      expect(publicKeyObject(text)).toBeUndefined();
    },
  );
});

describe('an envelope', () => {
  const key = importPrivateKeyPem(rfcKeyPem);
  const envelope = signEnvelope(type, payload, key);

  it('carries the signature that OpenSSL makes over the pre-authentication encoding', () => {
    expect(envelope.signatures).toEqual([
      {
        keyid: key.keyId,
        sig: '4DHX3Zn4qpBKvEj7maE8O9u9bjXEnPLLnyXVUJ2PXJR8DSLcL3QDpFvfJOj3pB/SPHsl6Jg4boxsMb6KvuYABw==',
      },
    ]);
  });

  it('by a trusted key gives its payload', () => {
    const verified = verifyEnvelope(envelope, type, [generateSigningKey().publicKey, key.publicKey]);
    expect(verified.ok && [Buffer.from(verified.value.payload).toString(), verified.value.keyIds]).toEqual([
      'hello world',
      [key.keyId],
    ]);
  });

  it('by another key is refused as unknown', () => {
    const verified = verifyEnvelope(envelope, type, [generateSigningKey().publicKey]);
    expect(verified.ok || verified.error.code).toBe('signature.unknown-key');
  });

  it('is refused when no key is trusted', () => {
    const verified = verifyEnvelope(envelope, type, []);
    expect(verified.ok || verified.error.code).toBe('signature.unknown-key');
  });

  it('that claims the id of a trusted key is refused as invalid', () => {
    const stranger = signEnvelope(type, payload, generateSigningKey());
    const forged = { ...stranger, signatures: stranger.signatures.map((one) => ({ ...one, keyid: key.keyId })) };
    const verified = verifyEnvelope(forged, type, [key.publicKey]);
    expect(verified.ok || verified.error.code).toBe('signature.invalid');
  });

  it('for another purpose is refused', () => {
    const verified = verifyEnvelope(envelope, 'application/other', [key.publicKey]);
    expect(verified.ok || verified.error.code).toBe('signature.invalid');
  });

  it('whose type was changed to the wanted one is refused', () => {
    const renamed = { ...envelope, payloadType: 'application/other' };
    const verified = verifyEnvelope(renamed, 'application/other', [key.publicKey]);
    expect(verified.ok || verified.error.code).toBe('signature.invalid');
  });

  it('with one signature several times counts its key once', () => {
    const repeated = { ...envelope, signatures: [...envelope.signatures, ...envelope.signatures] };
    const verified = verifyEnvelope(repeated, type, [key.publicKey, key.publicKey]);
    expect(verified.ok && verified.value.keyIds).toEqual([key.keyId]);
  });

  it('with a second signature that does not hold names the keys of those that do', () => {
    const other = generateSigningKey();
    const both = {
      ...envelope,
      signatures: [{ keyid: other.keyId, sig: envelope.signatures[0]?.sig ?? '' }, ...envelope.signatures],
    };
    const verified = verifyEnvelope(both, type, [other.publicKey, key.publicKey]);
    expect(verified.ok && verified.value.keyIds).toEqual([key.keyId]);
  });

  it('trusted by a text that is no key is refused, not a crash', () => {
    const bogus = 'not a key';
    const forged = { ...envelope, signatures: [{ keyid: keyIdOf(bogus), sig: envelope.signatures[0]?.sig ?? '' }] };
    const verified = verifyEnvelope(forged, type, [bogus]);
    expect(verified.ok || verified.error.code).toBe('signature.invalid');
  });
});

describe('two envelopes over the same payload', () => {
  const [first, second] = [generateSigningKey(), generateSigningKey()];
  const stored = signEnvelope(type, payload, first);
  const offered = signEnvelope(type, payload, second);

  it('join to one that whoever trusts either key accepts', () => {
    const joined = joinSignatures(offered, stored);
    for (const { publicKey } of [first, second]) {
      expect(verifyEnvelope(joined, type, [publicKey])).toMatchObject({ ok: true });
    }
  });

  it('keep one signature a key, the offered one, and no more than an envelope may have', () => {
    expect(joinSignatures(stored, stored)).toEqual(stored);
    const many = Array.from({ length: 20 }, (_, index) => ({ keyid: String(index), sig: 'AA==' }));
    const { signatures } = joinSignatures(offered, { ...stored, signatures: many });
    expect(signatures).toHaveLength(16);
    expect(signatures[0]).toEqual(offered.signatures[0]);
  });

  it('are not joined when their payloads differ', () => {
    const other = signEnvelope(type, new TextEncoder().encode('hello'), first);
    expect(joinSignatures(offered, other)).toEqual(offered);
  });
});
