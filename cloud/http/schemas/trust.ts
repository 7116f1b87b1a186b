import * as z from 'zod';
import { envelopeSchema } from '#shared/protocol/envelope.js';
import { signerKeySchema, trustDataSchema } from '#shared/protocol/trust.js';

const rotatingKey = z.object({ current: signerKeySchema, next: signerKeySchema.optional() });

const authority = z.object({
  certificate: z.string(),
  /** SHA-256 of the DER, hex. */
  fingerprint: z.string(),
});

/** SHA-256 of the DER of roots, hex. */
export const authorityRotationBody = z.object({ current: z.string(), next: z.string().optional() });

/** Where a workspace's trust stands, and what this control plane has to be trusted with. */
export const trustBody = z.object({
  /** 0: devices go by what their tokens pinned. */
  newest: z.int(),
  envelope: envelopeSchema.nullable(),
  director: rotatingKey,
  /** The one that signs first; what a trust document should list. */
  authorities: z.array(authority),
  /** Devices that would be lost if the authority that is being replaced went now, and what each lacks of the next one. */
  waiting: z.array(z.object({ device: z.string(), lacks: z.enum(['trust', 'certificate']) })),
});
export type TrustBody = z.infer<typeof trustBody>;

export const trustVersionsQuery = z.object({ after: z.coerce.number().int().min(0).max(1_000_000).default(0) });
export const trustVersionsBody = trustDataSchema;

export const trustCreate = z.strictObject({ envelope: envelopeSchema });
export const trustCreated = z.object({ version: z.int() });

export const rotationStep = z.strictObject({
  step: z.enum(['begin', 'finish']),
  /** Leave behind the devices that are not ready. */
  force: z.boolean().default(false),
});
export const directorRotationBody = rotatingKey;
