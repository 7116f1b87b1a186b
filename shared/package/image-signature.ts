/** The publisher's word on an image: an envelope over {@link ImageStatement}, a blob beside the image. */
import { err, type Result } from '#shared/kernel/result.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { type Envelope, envelopeSchema, payloadTypes } from '#shared/protocol/envelope.js';
import type { Digest } from '#shared/protocol/primitives.js';
import { joinSignatures, signEnvelope, type SignatureRefusal, verifyEnvelope } from './dsse.js';
import { type ImageStatement, imageStatementSchema } from './image-schema.js';
import type { SigningKey } from './signing-key.js';

/** An envelope of one statement with 16 signatures is far below this. */
export const maxSignatureBytes = 16 * 1024;

export function signImage(statement: ImageStatement, key: SigningKey, ...others: readonly SigningKey[]): Envelope {
  const bytes = Buffer.from(canonicalJson(statement));
  return others.reduce(
    (envelope, other) => joinSignatures(envelope, signEnvelope(payloadTypes.image, bytes, other)),
    signEnvelope(payloadTypes.image, bytes, key),
  );
}

/** The bytes of the blob that holds an envelope. */
export function encodeEnvelope(envelope: Envelope): Uint8Array {
  return Buffer.from(canonicalJson(envelope));
}

/** @returns the statement too, so that a caller learns the flavor that was signed */
export function verifyImageSignature(
  envelopeBytes: Uint8Array,
  image: { readonly digest: Digest; readonly name: string },
  publishers: readonly string[],
): Result<{ readonly keyIds: string[]; readonly statement: ImageStatement }, SignatureRefusal> {
  const envelope = decodeMessage(envelopeSchema, envelopeBytes, maxSignatureBytes);
  if (!envelope.ok) return invalid(`the signature is not an envelope: ${envelope.error.message}`);
  const verified = verifyEnvelope(envelope.value, payloadTypes.image, publishers);
  if (!verified.ok) return verified;
  const statement = decodeMessage(imageStatementSchema, verified.value.payload, maxSignatureBytes);
  if (!statement.ok) return invalid(`the signed statement is malformed: ${statement.error.message}`);
  if (statement.value.digest !== image.digest) {
    return invalid(`the publisher signed ${statement.value.digest}, the image is ${image.digest}`);
  }
  if (statement.value.name !== image.name) {
    return invalid(`the publisher signed the module "${statement.value.name}", the image is named "${image.name}"`);
  }
  return { ok: true, value: { keyIds: verified.value.keyIds, statement: statement.value } };
}

function invalid(message: string): Result<never, SignatureRefusal> {
  return err({ code: 'signature.invalid', message });
}
