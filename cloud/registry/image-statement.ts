/**
 * What the publisher's envelope says, read without judging the key: whom to trust is known on the devices and
 * on the publisher's machine, not here.
 */
import { AppError } from '#shared/kernel/errors.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { payloadTypes, type Envelope } from '#shared/protocol/envelope.js';
import type { Digest } from '#shared/protocol/primitives.js';
import { maxSignatureBytes } from '#shared/package/image-signature.js';
import { imageStatementSchema, type ImageStatement } from '#shared/package/image-schema.js';

const keyIdPattern = /^[0-9a-f]{64}$/;
const ed25519SignatureBytes = 64;

/** @throws AppError `image.unsigned`, `signature.invalid` */
export function readStatement(
  envelope: Envelope,
  digest: Digest,
): ImageStatement & { readonly keyIds: readonly string[] } {
  if (envelope.payloadType !== payloadTypes.image) {
    throw new AppError(
      'image.unsigned',
      `the envelope's payload is not ${payloadTypes.image}: sign the image, not something else`,
    );
  }
  const statement = decodeMessage(imageStatementSchema, Buffer.from(envelope.payload, 'base64'), maxSignatureBytes);
  if (!statement.ok) {
    throw new AppError('signature.invalid', `the signed statement is malformed: ${statement.error.message}`);
  }
  if (statement.value.digest !== digest) {
    throw new AppError('signature.invalid', `the publisher signed ${statement.value.digest}, the image is ${digest}`);
  }
  for (const { keyid, sig } of envelope.signatures) {
    if (!keyIdPattern.test(keyid) || Buffer.from(sig, 'base64').length !== ed25519SignatureBytes) {
      throw new AppError('signature.invalid', 'a signature of the envelope is not an Ed25519 signature with a key id');
    }
  }
  return { ...statement.value, keyIds: [...new Set(envelope.signatures.map(({ keyid }) => keyid))].sort() };
}
