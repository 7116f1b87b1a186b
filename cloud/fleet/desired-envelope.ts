/** The director's signature over a desired document, as it is stored and published. */
import { AppError } from '#shared/kernel/errors.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { type Desired, desiredSchema, maxDesiredBytes } from '#shared/protocol/desired.js';
import { envelopeSchema, payloadTypes } from '#shared/protocol/envelope.js';
import type { Director } from '#cloud/trust/director-keys.js';

/** @throws AppError `desired.too-large` */
export function sealDesired(desired: Desired, director: Director): string {
  const text = JSON.stringify(director.sign(payloadTypes.desired, encodeMessage(desired)));
  const bytes = Buffer.byteLength(text);
  if (bytes > maxDesiredBytes) {
    throw new AppError(
      'desired.too-large',
      `the desired state of ${desired.workspace}/${desired.device} would have ${String(bytes)} bytes, at most ` +
        `${String(maxDesiredBytes)} are allowed: shorten the modules' settings or undeploy some`,
      { details: { bytes, maxBytes: maxDesiredBytes } },
    );
  }
  return text;
}

/** Reads what `sealDesired` made, out of our own database. */
export function openStoredDesired(text: string): Desired {
  const envelope = envelopeSchema.parse(JSON.parse(text));
  return desiredSchema.parse(JSON.parse(Buffer.from(envelope.payload, 'base64').toString('utf8')));
}
