import * as z from 'zod';
import { counterSchema, instantSchema, nameSchema, tagsSchema } from '#shared/protocol/primitives.js';
import { pageOf, pageQuery } from './common.js';

/** Names of tags that a device may set itself; `*` for any. */
export const allowTagsSchema = z.array(z.string().min(1).max(63)).max(64).default([]);

export const certificateBody = z.object({
  serial: z.string(),
  fingerprint: z.string(),
  state: z.enum(['accepted', 'ended', 'revoked']),
  issuedAt: instantSchema,
  notAfter: instantSchema,
  revokedAt: instantSchema.optional(),
  reason: z.string().optional(),
  certificate: z.string(),
});
export const certificatesBody = z.object({ device: nameSchema, certificates: z.array(certificateBody) });
export type CertificatesBody = z.infer<typeof certificatesBody>;

export const certificatesRevoke = z.strictObject({
  /** Without it every one that is accepted. */
  serial: z.string().max(64).optional(),
  reason: z.string().min(1).max(200),
});
export const certificatesRevoked = z.object({ device: nameSchema, revoked: z.int() });

export const replacementCreate = z.strictObject({
  ttlSeconds: z
    .int()
    .min(10)
    .max(30 * 86_400)
    .default(3600),
});

export const claimCreate = z.strictObject({
  name: nameSchema,
  maxDevices: z.int().min(1).max(1_000_000),
  ttlSeconds: z
    .int()
    .min(60)
    .max(366 * 86_400)
    .default(7 * 86_400),
  approval: z.boolean().default(false),
  /** New devices a second. */
  ratePerSecond: z.number().min(0.01).max(1000).default(10),
  tags: tagsSchema.default({}),
  allowTags: allowTagsSchema,
  /** `cam-{hardware}`: the claim names its devices. */
  nameTemplate: z.string().max(80).optional(),
  /** Absent: any hardware. */
  hardwareIds: z.array(z.string().min(1).max(128)).min(1).max(100_000).optional(),
});

export const claimBody = z.object({
  name: nameSchema,
  state: z.enum(['open', 'full', 'ended', 'revoked']),
  maxDevices: z.int(),
  /** Devices that came or wait. */
  taken: counterSchema,
  pending: counterSchema,
  approval: z.boolean(),
  ratePerSecond: z.number(),
  tags: tagsSchema,
  allowTags: z.array(z.string()),
  nameTemplate: z.string().optional(),
  hardwareListed: z.boolean(),
  createdAt: instantSchema,
  expiresAt: instantSchema,
  revokedAt: instantSchema.optional(),
});
export type ClaimBody = z.infer<typeof claimBody>;

export const claimRequestQuery = pageQuery.extend({
  state: z.enum(['pending', 'approved', 'rejected', 'enrolled']).default('pending'),
  /** More than elsewhere: a claim may let in a million devices. */
  limit: z.coerce.number().int().min(1).max(10_000).default(1000),
});
export const claimRequestsBody = pageOf(
  z.object({
    device: nameSchema,
    hardwareId: z.string().optional(),
    state: z.string(),
    requestedAt: instantSchema,
    decidedAt: instantSchema.optional(),
    reason: z.string().optional(),
  }),
);

export const claimDecision = z.strictObject({
  verdict: z.enum(['approve', 'reject']),
  /** The name of one that waits; absent: all that wait now. */
  device: nameSchema.optional(),
  reason: z.string().max(200).default('rejected by the operator'),
});
export const claimDecided = z.object({ devices: z.array(nameSchema) });
