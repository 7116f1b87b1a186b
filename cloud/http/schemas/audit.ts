import * as z from 'zod';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { pageQuery } from './common.js';

export const auditQuery = pageQuery.extend({
  order: z.enum(['newest', 'oldest']).default('newest'),
  since: instantSchema.optional(),
  /** An actor's id or name, whole. */
  actor: z.string().max(512).optional(),
  /** A part of what was done. */
  action: z.string().max(512).optional(),
});

/** Exactly what is stored: whoever reads it can compute the hash. */
export const auditBody = z.object({
  sequence: z.int(),
  at: instantSchema,
  workspace: nameSchema.nullable(),
  actorKind: z.enum(['token', 'oidc', 'device', 'system']),
  actorId: z.string(),
  actorName: z.string().nullable(),
  /** The address that it came from. */
  origin: z.string().nullable(),
  action: z.string(),
  target: z.string(),
  outcome: z.enum(['done', 'refused', 'failed', 'interrupted']),
  detailsJson: z.string(),
  previousHash: z.string(),
  hash: z.string(),
});

const point = z.object({ sequence: z.int(), hash: z.string() });
/** From where to where the chain reaches. */
export const auditChainBody = z.object({ anchor: point, head: point });
