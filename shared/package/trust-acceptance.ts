/** Judges one version of the trust document as it was signed: size, form, signatures, and whether it may follow. */
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { Problem } from '#shared/kernel/errors.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { type Envelope, payloadTypes } from '#shared/protocol/envelope.js';
import {
  judgeTrust,
  maxTrustBytes,
  type Trust,
  type TrustDocument,
  trustDocumentSchema,
} from '#shared/protocol/trust.js';
import { verifyEnvelope } from './dsse.js';

export interface AcceptedTrust {
  readonly document: TrustDocument;
  /** False for the version that is trusted already. */
  readonly news: boolean;
}

/** The signature is checked over the raw payload, against the publishers of now; only then is it parsed. */
export function acceptTrust(
  envelope: Envelope,
  current: Trust & { readonly workspace: string },
): Result<AcceptedTrust, Problem> {
  const byCurrent = verifyEnvelope(envelope, payloadTypes.trust, current.publishers);
  if (!byCurrent.ok) return refuse(byCurrent.error.code, byCurrent.error.message);
  const decoded = decodeMessage(trustDocumentSchema, byCurrent.value.payload, maxTrustBytes);
  if (!decoded.ok) return refuse('trust.invalid', decoded.error.message);
  const document = decoded.value;
  const byOffered = verifyEnvelope(envelope, payloadTypes.trust, document.publishers);
  const verdict = judgeTrust(document, current, {
    ofCurrent: byCurrent.value.keyIds.length,
    ofOffered: byOffered.ok ? byOffered.value.keyIds.length : 0,
  });
  return verdict.ok ? ok({ document, news: verdict.value === 'news' }) : err(verdict.error);
}

/** What an envelope holds, judged by nobody: for people, and for our own copies. */
export function readTrustPayload(envelope: Envelope): Result<TrustDocument, Problem> {
  if (envelope.payloadType !== payloadTypes.trust) {
    return refuse('trust.invalid', `the payload is not ${payloadTypes.trust}`);
  }
  const decoded = decodeMessage(trustDocumentSchema, Buffer.from(envelope.payload, 'base64'), maxTrustBytes);
  return decoded.ok ? decoded : refuse('trust.invalid', decoded.error.message);
}

function refuse(code: Problem['code'], message: string): Result<never, Problem> {
  return err({ code, message: `the trust document is refused: ${message}` });
}
