/** An image's signature against whom the device trusts, with the reason that a person needs when it does not hold. */
import { err, type Result } from '#shared/kernel/result.js';
import type { Problem } from '#shared/kernel/errors.js';
import { verifyImageSignature } from '#shared/package/image-signature.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { Trust } from '#shared/protocol/trust.js';

export function verifyTrusted(
  envelopeBytes: Uint8Array,
  image: { readonly digest: Digest; readonly name: string },
  trust: Pick<Trust, 'version' | 'publishers' | 'withdrawn'>,
): Result<unknown, Problem> {
  const signed = verifyImageSignature(envelopeBytes, image, trust.publishers);
  if (signed.ok || signed.error.code !== 'signature.unknown-key') return signed;
  const once = verifyImageSignature(envelopeBytes, image, trust.withdrawn);
  if (!once.ok) return signed;
  const signer = once.value.keyIds.map((id) => id.slice(0, 12)).join(', ');
  return err({
    code: 'signature.withdrawn',
    message: `its publisher ${signer} was withdrawn by version ${String(trust.version)} of the trust document or before; a publisher who counts must sign it (flotilla image sign)`,
  });
}
