/** A proposed trust document on its way between publishers: a DSSE envelope in a file, signed by as many as have. */
import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { joinSignatures, signEnvelope, verifyEnvelope } from '#shared/package/dsse.js';
import type { SigningKey } from '#shared/package/signing-key.js';
import { readTrustPayload } from '#shared/package/trust-acceptance.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { decodeMessage, encodeMessage } from '#shared/protocol/decode.js';
import { type Envelope, envelopeSchema, payloadTypes } from '#shared/protocol/envelope.js';
import type { TrustDocument } from '#shared/protocol/trust.js';
import { fileError } from './input.js';

/** As on the wire, but nobody may have signed yet. */
const proposalSchema = envelopeSchema.extend({ signatures: z.array(envelopeSchema.shape.signatures.element).max(16) });
export type Proposal = z.infer<typeof proposalSchema>;

export function proposalOf(document: TrustDocument): Proposal {
  const payload = Buffer.from(encodeMessage(document)).toString('base64');
  return { payloadType: payloadTypes.trust, payload, signatures: [] };
}

export function documentOf(proposal: Proposal): TrustDocument {
  const read = readTrustPayload(proposal);
  if (!read.ok) throw new AppError(read.error.code, read.error.message);
  return read.value;
}

export function signProposal(proposal: Proposal, keys: readonly SigningKey[]): Envelope {
  const bytes = Buffer.from(proposal.payload, 'base64');
  return keys
    .map((key) => signEnvelope(payloadTypes.trust, bytes, key))
    .reduce<Envelope>((all, one) => joinSignatures(one, all), proposal);
}

/** Ids of the keys, of those given, whose signature holds. */
export function signersOf(proposal: Proposal, keys: readonly string[]): string[] {
  const verified = verifyEnvelope(proposal, payloadTypes.trust, keys);
  return verified.ok ? verified.value.keyIds : [];
}

export async function readProposal(path: string): Promise<Proposal> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw fileError(error, path);
  }
  const read = decodeMessage(proposalSchema, bytes);
  if (read.ok) return read.value;
  throw new AppError('trust.invalid', `${path} is no proposed trust document: ${read.error.message}`);
}

export async function writeProposal(path: string, proposal: Proposal): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(proposal, null, 2)}\n`);
}
