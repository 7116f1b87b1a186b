import { createPublicKey, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { desiredSchema } from '#shared/protocol/desired.js';
import { enrolmentTokenSchema } from '#shared/protocol/enrolment.js';
import { envelopeSchema, payloadTypes, preAuthenticationEncoding } from '#shared/protocol/envelope.js';
import { exampleOf } from '#test/support/examples.js';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bytes = (words: string): Uint8Array => new TextEncoder().encode(words);

describe('the pre-authentication encoding', () => {
  it("is that of the specification's own example", () => {
    // DSSE protocol.md, "Test Vectors"
    expect(text(preAuthenticationEncoding('http://example.com/HelloWorld', bytes('hello world')))).toBe(
      'DSSEv1 29 http://example.com/HelloWorld 11 hello world',
    );
  });

  it('counts bytes, not letters', () => {
    expect(text(preAuthenticationEncoding('é', Uint8Array.from([0xff, 0x00])))).toBe('DSSEv1 2 \xc3\xa9 2 \xff\x00');
    expect(text(preAuthenticationEncoding('', new Uint8Array()))).toBe('DSSEv1 0  0 ');
  });

  it('keeps apart what would read the same without lengths', () => {
    const one = preAuthenticationEncoding('a', bytes('b 1 c'));
    const other = preAuthenticationEncoding('a 5 b', bytes('c'));
    expect(text(one)).not.toBe(text(other));
  });
});

it('the example envelope is signed by the key that the example token names, over the example document', () => {
  const envelope = envelopeSchema.parse(exampleOf('envelope'));
  const { director } = enrolmentTokenSchema.parse(exampleOf('enrolment-token'));
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: director }, format: 'jwk' });
  const payload = Buffer.from(envelope.payload, 'base64');
  const signature = Buffer.from(envelope.signatures[0]?.sig ?? '', 'base64');
  expect(verify(null, preAuthenticationEncoding(payloadTypes.desired, payload), key, signature)).toBe(true);
  expect(verify(null, preAuthenticationEncoding(payloadTypes.command, payload), key, signature)).toBe(false);
  expect(desiredSchema.parse(JSON.parse(payload.toString('utf8')))).toEqual(desiredSchema.parse(exampleOf('desired')));
});
