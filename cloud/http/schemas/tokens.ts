import * as z from 'zod';
import { roles } from '#cloud/auth/role.js';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';

const yearSeconds = 366 * 86_400;

export const roleSchema = z.enum(roles);

export const tokenCreate = z.strictObject({
  name: nameSchema,
  role: roleSchema,
  /** Left out, it does not expire. */
  ttlSeconds: z
    .int()
    .min(1)
    .max(10 * yearSeconds)
    .optional(),
});

export const tokenBody = z.object({
  id: z.string(),
  name: z.string(),
  role: roleSchema,
  /** Null: every workspace. */
  workspace: nameSchema.nullable(),
  createdAt: instantSchema,
  /** The token or subject that made it; null: the control plane itself, at a start. */
  createdBy: z.string().nullable(),
  expiresAt: instantSchema.nullable(),
  lastUsedAt: instantSchema.nullable(),
  revokedAt: instantSchema.nullable(),
});

/** The one answer that holds the secret. */
export const createdToken = tokenBody.extend({ token: z.string() });

/** Who the control plane takes the caller for. */
export const selfBody = z.object({
  kind: z.enum(['token', 'oidc']),
  id: z.string(),
  name: z.string(),
  role: roleSchema,
  workspace: nameSchema.nullable(),
  expiresAt: instantSchema.nullable(),
});
