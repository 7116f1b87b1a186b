import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signEnvelope, verifyEnvelope } from '#shared/package/dsse.js';
import { encodeEnvelope, signImage, verifyImageSignature } from '#shared/package/image-signature.js';
import { digestOf } from '#shared/package/digest.js';
import { generateSigningKey } from '#shared/package/signing-key.js';

const key = generateSigningKey();

describe('an envelope', () => {
  it('gives back any payload that was signed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 64 }), fc.uint8Array({ maxLength: 512 }), (type, payload) => {
        const verified = verifyEnvelope(signEnvelope(type, payload, key), type, [key.publicKey]);
        expect(verified.ok && Buffer.from(verified.value.payload).equals(payload)).toBe(true);
      }),
    );
  });

  it('with any bit of payload or signature flipped is refused', () => {
    const payload = Buffer.from('{"generation":1}');
    const envelope = signEnvelope('t', payload, key);
    const signature = Buffer.from(envelope.signatures[0]?.sig ?? '', 'base64');
    const flip = (bytes: Buffer, bit: number): Buffer => {
      const copy = Buffer.from(bytes);
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      return copy;
    };
    for (let bit = 0; bit < payload.length * 8; bit++) {
      const changed = { ...envelope, payload: flip(payload, bit).toString('base64') };
      expect(verifyEnvelope(changed, 't', [key.publicKey]).ok).toBe(false);
    }
    for (let bit = 0; bit < signature.length * 8; bit++) {
      const sig = flip(signature, bit).toString('base64');
      const changed = { ...envelope, signatures: [{ keyid: key.keyId, sig }] };
      expect(verifyEnvelope(changed, 't', [key.publicKey]).ok).toBe(false);
    }
  });

  it('spelled with characters that base64 does not have is refused', () => {
    const envelope = signEnvelope('t', Buffer.from('payload'), key);
    fc.assert(
      fc.property(fc.nat(envelope.payload.length), fc.constantFrom(' ', '\n', '-', '_', '*', '='), (at, extra) => {
        const payload = envelope.payload.slice(0, at) + extra + envelope.payload.slice(at);
        expect(verifyEnvelope({ ...envelope, payload }, 't', [key.publicKey]).ok).toBe(false);
      }),
    );
  });
});

describe('the signature blob of an image', () => {
  const image = { digest: digestOf('image'), name: 'digits' };
  const bytes = Buffer.from(encodeEnvelope(signImage({ schema: 1, ...image, flavor: 'onnx' }, key)));

  it('of any bytes is judged without a throw, and refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2048 }), (noise) => {
        expect(verifyImageSignature(noise, image, [key.publicKey]).ok).toBe(false);
      }),
    );
  });

  it('with any byte changed is refused, or says the same', () => {
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, difference) => {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ difference;
        const verified = verifyImageSignature(changed, image, [key.publicKey]);
        if (verified.ok) expect(verified.value.statement).toEqual({ schema: 1, ...image, flavor: 'onnx' });
      }),
      { numRuns: 500 },
    );
  });
});
