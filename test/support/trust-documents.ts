/** Trust documents of a test's own making, signed by whoever the test says. */
import { joinSignatures, signEnvelope } from '#shared/package/dsse.js';
import type { SigningKey } from '#shared/package/signing-key.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { type Envelope, payloadTypes } from '#shared/protocol/envelope.js';
import type { Trust, TrustDocument } from '#shared/protocol/trust.js';

export const somePem = (word: string): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(word).toString('base64')}\n-----END CERTIFICATE-----\n`;

export function trustDocument(
  version: number,
  publishers: readonly SigningKey[],
  directors: readonly SigningKey[],
  rest: Partial<TrustDocument> = {},
): TrustDocument {
  return {
    schema: 1,
    workspace: 'w',
    version,
    publishers: publishers.map(({ publicKey }) => publicKey),
    threshold: 1,
    directors: directors.map(({ publicKey }) => publicKey),
    authorities: [somePem('authority')],
    withdrawn: [],
    issuedAt: '2026-01-01T00:00:00.000Z',
    ...rest,
  };
}

/** What an enrolment token pins. */
export function pins(publishers: readonly SigningKey[], directors: readonly SigningKey[]): Trust {
  const { threshold, authorities, publishers: keys, directors: ids } = trustDocument(1, publishers, directors);
  return { version: 0, publishers: keys, threshold, directors: ids, authorities, withdrawn: [] };
}

export function signTrust(document: object, ...keys: readonly SigningKey[]): Envelope {
  const bytes = encodeMessage(document);
  return keys.map((key) => signEnvelope(payloadTypes.trust, bytes, key)).reduce((all, one) => joinSignatures(all, one));
}
