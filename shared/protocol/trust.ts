/**
 * Who counts on the devices of a workspace: the publishers whose images they run, the directors whose
 * documents and commands they obey, the authorities whose certificates they connect by. Each version is
 * signed by publishers of the version before, so that a control plane alone changes nothing. The shape
 * is that of TUF's root role, which is to take its place.
 */
import * as z from 'zod';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { ErrorCode } from '#shared/kernel/errors.js';
import { canonicalJson } from './canonical-json.js';
import { envelopeSchema } from './envelope.js';
import { instantSchema, nameSchema, schemaVersion } from './primitives.js';

/** A raw Ed25519 public key in its one spelling: 43 characters carry two bits more than 32 bytes. */
export const signerKeySchema = z
  .string()
  .regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/, 'must be 32 bytes in base64url');

export const maxPublishers = 8;
const maxWithdrawn = 64;
/** The envelope of one version; the largest document that the schema allows is well below. */
export const maxTrustBytes = 48 * 1024;

const certificateSchema = z
  .string()
  .max(4096)
  .regex(
    /^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+\n-----END CERTIFICATE-----\n$/,
    'must be one certificate in PEM',
  );

const distinct = <S extends z.ZodType>(item: S, min: number, max: number) =>
  z
    .array(item)
    .min(min)
    .max(max)
    .refine((items) => new Set(items).size === items.length, 'names one twice');

export const trustDocumentSchema = z
  .strictObject({
    schema: schemaVersion,
    workspace: nameSchema,
    version: z.int().min(1).max(1_000_000),
    publishers: distinct(signerKeySchema, 1, maxPublishers),
    /** How many of the publishers must sign the next version. */
    threshold: z.int().min(1).max(maxPublishers),
    directors: distinct(signerKeySchema, 1, 4),
    /** Certificates in PEM, the current one first. */
    authorities: distinct(certificateSchema, 1, 4),
    /** Former publishers: what only they signed no longer counts, and they never come back. */
    withdrawn: distinct(signerKeySchema, 0, maxWithdrawn),
    issuedAt: instantSchema,
  })
  .refine(({ threshold, publishers }) => threshold <= publishers.length, {
    path: ['threshold'],
    message: 'is more than there are publishers',
  })
  .refine(({ publishers, withdrawn }) => publishers.every((key) => !withdrawn.includes(key)), {
    path: ['withdrawn'],
    message: 'names a publisher',
  });
export type TrustDocument = z.infer<typeof trustDocumentSchema>;

/** What a device goes by. Version 0 is what its enrolment token pinned. */
export type Trust = Pick<TrustDocument, 'version' | 'publishers' | 'threshold' | 'directors' | 'authorities'> & {
  readonly withdrawn: readonly string[];
};

/** On `trust/get`: the versions above `after`, please. */
export const trustRequestSchema = z.object({ schema: schemaVersion, after: z.int().min(0).max(1_000_000) });

/** On `trust/data`: versions in rising order, as many as fit; `newest` says whether there are more. */
export const trustDataSchema = z.object({
  schema: schemaVersion,
  newest: z.int().min(0).max(1_000_000),
  envelopes: z.array(envelopeSchema).max(16),
});
export type TrustData = z.infer<typeof trustDataSchema>;

/** Publishers by whose keys a signature over the offered document was verified. */
export interface TrustSigners {
  readonly ofCurrent: number;
  readonly ofOffered: number;
}

export interface TrustRefusal {
  readonly code: Extract<
    ErrorCode,
    | 'trust.wrong-workspace'
    | 'trust.older-version'
    | 'trust.same-version'
    | 'trust.gap'
    | 'trust.threshold'
    | 'trust.invalid'
  >;
  readonly message: string;
}

/**
 * May `offered` follow `current`? As TUF has it: the next version and no later one, signed by enough
 * publishers of the version before and by enough of its own, so that nobody can lock themselves out.
 * A pin has no successor of its own: its keys may begin at any version, but may not go back from there.
 *
 * @returns whether it is news; the same document again is none
 */
export function judgeTrust(
  offered: TrustDocument,
  current: Trust & { readonly workspace: string },
  signers: TrustSigners,
): Result<'news' | 'known', TrustRefusal> {
  const refuse = (code: TrustRefusal['code'], message: string): Result<never, TrustRefusal> =>
    err({ code, message: `version ${String(offered.version)} of the trust document is refused: ${message}` });

  if (offered.workspace !== current.workspace) {
    return refuse('trust.wrong-workspace', `it is for workspace ${offered.workspace}, not ${current.workspace}`);
  }
  if (offered.version < current.version) {
    return refuse('trust.older-version', `version ${String(current.version)} is trusted already`);
  }
  if (offered.version === current.version) {
    return sameTrust(offered, current)
      ? ok('known')
      : refuse('trust.same-version', 'that version was accepted with other content');
  }
  if (current.version > 0 && offered.version !== current.version + 1) {
    return refuse('trust.gap', `version ${String(current.version + 1)} must come first`);
  }
  if (signers.ofCurrent < current.threshold) {
    return refuse(
      'trust.threshold',
      `${countOf(signers.ofCurrent)} of version ${String(current.version)} signed it, and ${String(current.threshold)} must`,
    );
  }
  if (signers.ofOffered < offered.threshold) {
    return refuse(
      'trust.threshold',
      `${countOf(signers.ofOffered)} of its own signed it, and ${String(offered.threshold)} must: the next version could have no signers`,
    );
  }
  if (!current.withdrawn.every((key) => offered.withdrawn.includes(key))) {
    return refuse('trust.invalid', 'it no longer names a publisher that was withdrawn');
  }
  return ok('news');
}

function countOf(count: number): string {
  return count === 1 ? '1 publisher' : `${String(count)} publishers`;
}

function sameTrust(offered: TrustDocument, current: Trust): boolean {
  const of = ({ publishers, threshold, directors, authorities, withdrawn }: Trust): string =>
    canonicalJson({ publishers, threshold, directors, authorities, withdrawn });
  return of(offered) === of(current);
}
