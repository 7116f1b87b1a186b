/**
 * DSSE v1.0.0 (secure-systems-lab/dsse): a signature over the payload's raw bytes and its type.
 * Signing and verifying are in `shared/package/dsse.ts`; this file is the form alone.
 */
import * as z from 'zod';

const base64 = z.base64();
/** Enough for every publisher of an organisation; a reader verifies no more. */
export const maxSignatures = 16;

export const envelopeSchema = z.object({
  payloadType: z.string().max(256),
  payload: base64,
  signatures: z
    .array(z.object({ keyid: z.string().max(128), sig: base64 }))
    .min(1)
    .max(maxSignatures),
});
export type Envelope = z.infer<typeof envelopeSchema>;

export const payloadTypes = {
  desired: 'application/vnd.flotilla.desired.v1+json',
  command: 'application/vnd.flotilla.command.v1+json',
  image: 'application/vnd.flotilla.image.v1+json',
  trust: 'application/vnd.flotilla.trust.v1+json',
} as const;

/** Pre-Authentication Encoding, DSSE protocol.md section "Signature Definition". */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = new TextEncoder().encode(payloadType);
  const head = new TextEncoder().encode(`DSSEv1 ${String(type.length)} ${payloadType} ${String(payload.length)} `);
  const out = new Uint8Array(head.length + payload.length);
  out.set(head);
  out.set(payload, head.length);
  return out;
}
