import { describe, expect, it } from 'vitest';
import { digestOf } from '#shared/package/digest.js';
import { signEnvelope } from '#shared/package/dsse.js';
import { encodeEnvelope, maxSignatureBytes, signImage, verifyImageSignature } from '#shared/package/image-signature.js';
import { generateSigningKey } from '#shared/package/signing-key.js';
import { payloadTypes } from '#shared/protocol/envelope.js';

const key = generateSigningKey();
const digest = digestOf('an image');
const statement = { schema: 1, digest, name: 'digits', flavor: 'onnx' } as const;
const bytes = encodeEnvelope(signImage(statement, key));

describe("a publisher's signature", () => {
  it('on this image is accepted', () => {
    const verified = verifyImageSignature(bytes, { digest, name: 'digits' }, [key.publicKey]);
    expect(verified).toEqual({ ok: true, value: { keyIds: [key.keyId], statement } });
  });

  it('on another image is refused', () => {
    const verified = verifyImageSignature(bytes, { digest: digestOf('another'), name: 'digits' }, [key.publicKey]);
    expect(verified.ok || verified.error).toMatchObject({ code: 'signature.invalid' });
  });

  it('on this image under another name is refused', () => {
    const verified = verifyImageSignature(bytes, { digest, name: 'letters' }, [key.publicKey]);
    expect(verified.ok || verified.error).toMatchObject({ code: 'signature.invalid' });
  });

  it('by a key that is not trusted is refused as unknown', () => {
    const verified = verifyImageSignature(bytes, { digest, name: 'digits' }, [generateSigningKey().publicKey]);
    expect(verified.ok || verified.error).toMatchObject({ code: 'signature.unknown-key' });
  });

  it('made for a desired document is refused', () => {
    const desired = signEnvelope(payloadTypes.desired, Buffer.from(JSON.stringify(statement)), key);
    const verified = verifyImageSignature(encodeEnvelope(desired), { digest, name: 'digits' }, [key.publicKey]);
    expect(verified.ok || verified.error).toMatchObject({ code: 'signature.invalid' });
  });

  it('over something that is no statement is refused', () => {
    const odd = encodeEnvelope(signEnvelope(payloadTypes.image, Buffer.from('{"schema":2}'), key));
    const verified = verifyImageSignature(odd, { digest, name: 'digits' }, [key.publicKey]);
    expect(verified.ok || verified.error).toMatchObject({ code: 'signature.invalid' });
  });

  it.each([
    ['nothing', new Uint8Array()],
    ['no JSON', Buffer.from('hello')],
    ['too much', Buffer.alloc(maxSignatureBytes + 1, 0x20)],
  ])('of %s is refused', (_what, malformed) => {
    const verified = verifyImageSignature(malformed, { digest, name: 'digits' }, [key.publicKey]);
    expect(verified.ok || verified.error).toMatchObject({ code: 'signature.invalid' });
  });
});
