/** Who this device is, whom it trusts and how it proves itself: one file, for its owner's eyes alone. */
import * as z from 'zod';
import { JsonDocument } from '#shared/platform/atomic-file.js';
import { publicKeySchema } from '#shared/protocol/enrolment.js';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';

const identitySchema = z.object({
  schema: z.literal(1),
  workspace: nameSchema,
  device: nameSchema,
  /** The password on the broker. */
  secret: z.string().min(32).max(128),
  broker: z.object({ url: z.url(), serverName: z.string(), authority: z.string() }),
  director: publicKeySchema,
  publishers: z.array(publicKeySchema).min(1).max(8),
  gateway: z.url(),
  enrolledAt: instantSchema,
});
export type Identity = z.infer<typeof identitySchema>;

export function identityDocument(path: string): JsonDocument<Identity> {
  return new JsonDocument(path, (value) => identitySchema.parse(value), { mode: 0o600 });
}

/** Written before the request that uses up the token, gone once its answer is on disk. */
const pendingEnrolmentSchema = z.object({
  workspace: nameSchema,
  device: nameSchema,
  gateway: z.url(),
  at: instantSchema,
});
export type PendingEnrolment = z.infer<typeof pendingEnrolmentSchema>;

export function pendingEnrolmentDocument(path: string): JsonDocument<PendingEnrolment> {
  return new JsonDocument(path, (value) => pendingEnrolmentSchema.parse(value), { mode: 0o600 });
}
