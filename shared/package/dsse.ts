/**
 * Signs and verifies DSSE envelopes with Ed25519. What counts is the trusted public keys: the key id
 * in an envelope only says which of them to try, and no key counts twice. The payload is handed out
 * as raw bytes, and only after a signature over these very bytes has been checked.
 */
import { sign, verify } from 'node:crypto';
import { err, ok, type Result } from '#shared/kernel/result.js';
import { maxSignatures, type Envelope, preAuthenticationEncoding } from '#shared/protocol/envelope.js';
import { keyIdOf, publicKeyObject, type SigningKey } from './signing-key.js';

export interface SignatureRefusal {
  readonly code: 'signature.invalid' | 'signature.unknown-key';
  readonly message: string;
}

export interface VerifiedPayload {
  readonly payload: Uint8Array;
  /** Ids of the trusted keys whose signature holds, each once, sorted. */
  readonly keyIds: string[];
}

export function signEnvelope(payloadType: string, payload: Uint8Array, key: SigningKey): Envelope {
  const signature = sign(null, preAuthenticationEncoding(payloadType, payload), key.privateKey);
  return {
    payloadType,
    payload: Buffer.from(payload).toString('base64'),
    signatures: [{ keyid: key.keyId, sig: signature.toString('base64') }],
  };
}

/**
 * @param trusted raw public keys in base64url
 */
/**
 * One envelope with the signatures of both, the offered ones first, one a key, as many as an envelope
 * may have. Judges none of them. The offered envelope alone when the two do not hold the same payload.
 */
export function joinSignatures(offered: Envelope, stored: Envelope): Envelope {
  if (offered.payloadType !== stored.payloadType || offered.payload !== stored.payload) return offered;
  const offeredKeys = new Set(offered.signatures.map(({ keyid }) => keyid));
  const others = stored.signatures.filter(({ keyid }) => !offeredKeys.has(keyid));
  return { ...offered, signatures: [...offered.signatures, ...others].slice(0, maxSignatures) };
}

export function verifyEnvelope(
  envelope: Envelope,
  payloadType: string,
  trusted: readonly string[],
): Result<VerifiedPayload, SignatureRefusal> {
  if (envelope.payloadType !== payloadType) {
    return refuse('signature.invalid', `the envelope's payload is ${quote(envelope.payloadType)}, not ${payloadType}`);
  }
  const payload = decodeBase64(envelope.payload);
  if (payload === undefined) return refuse('signature.invalid', 'the payload is not base64');

  const publicKeys = new Map(trusted.map((publicKey) => [keyIdOf(publicKey), publicKey]));
  const known = envelope.signatures.filter(({ keyid }) => publicKeys.has(keyid));
  if (known.length === 0) {
    const signers = envelope.signatures.map(({ keyid }) => quote(keyid.slice(0, 12))).join(', ');
    return refuse(
      'signature.unknown-key',
      `signed by ${signers === '' ? 'nobody' : signers}; trusted are ${[...publicKeys.keys()].map((id) => id.slice(0, 12)).join(', ') || 'no keys'}`,
    );
  }

  const signed = preAuthenticationEncoding(payloadType, payload);
  const keyIds = new Set<string>();
  for (const { keyid, sig } of known) {
    const key = publicKeyObject(publicKeys.get(keyid) ?? '');
    const signature = decodeBase64(sig);
    if (key !== undefined && signature?.length === 64 && verify(null, signed, key, signature)) keyIds.add(keyid);
  }
  if (keyIds.size === 0) {
    return refuse('signature.invalid', 'the signature does not fit the payload: it was changed after it was signed');
  }
  return ok({ payload, keyIds: [...keyIds].sort() });
}

/** Standard base64 in its one spelling; the decoder of Buffer skips what it does not know. */
function decodeBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/** Foreign text in a message: short, and without control characters. */
function quote(text: string): string {
  return JSON.stringify(text.slice(0, 128));
}

function refuse(code: SignatureRefusal['code'], message: string): Result<never, SignatureRefusal> {
  return err({ code, message });
}
