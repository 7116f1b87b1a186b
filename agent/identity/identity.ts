/** Who this device is and how it proves itself: one file, for its owner's eyes alone. */
import * as z from 'zod';
import { JsonDocument } from '#shared/platform/atomic-file.js';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';

const privateKeySchema = z.string().startsWith('-----BEGIN PRIVATE KEY-----').max(4096);

export const identitySchema = z.object({
  schema: z.literal(2),
  workspace: nameSchema,
  device: nameSchema,
  gateway: z.url(),
  broker: z.object({
    url: z.url(),
    serverName: z.string(),
    /** PEM, where the broker's certificate comes from other authorities than the control plane's. */
    authority: z.string().optional(),
  }),
  /** PEM: the device's own, then what stands between it and the authority. */
  certificate: z.string().startsWith('-----BEGIN CERTIFICATE-----'),
  /** PKCS #8 PEM, P-256. */
  privateKey: privateKeySchema,
  /** PKCS #8 PEM, X25519. */
  sealingKey: privateKeySchema,
  enrolledAt: instantSchema,
});
export type Identity = z.infer<typeof identitySchema>;

export function identityDocument(path: string): JsonDocument<Identity> {
  return new JsonDocument(path, (value) => identitySchema.parse(value), { mode: 0o600 });
}

/** The identity on disk and in memory, in this order. Who and where the device is does not change while it runs. */
export class KeptIdentity {
  private readonly document: JsonDocument<Identity>;

  constructor(
    path: string,
    private value: Identity,
  ) {
    this.document = identityDocument(path);
  }

  current(): Identity {
    return this.value;
  }

  /** Twice, so that the predecessor, which a damaged file falls back to, is not an identity that is void soon. */
  async replace(value: Identity): Promise<void> {
    await this.document.write(value);
    await this.document.write(value);
    this.value = value;
  }
}

/**
 * Written before the request, gone once its answer is on disk. Asked again with the same token and the same
 * keys, the control plane gives the same device: a power cut in between loses nothing.
 */
const pendingEnrolmentSchema = z.object({
  workspace: nameSchema,
  /** Absent: the fleet claim names it. */
  device: nameSchema.optional(),
  privateKey: privateKeySchema,
  sealingKey: privateKeySchema,
});
export type PendingEnrolment = z.infer<typeof pendingEnrolmentSchema>;

export function pendingEnrolmentDocument(path: string): JsonDocument<PendingEnrolment> {
  return new JsonDocument(path, (value) => pendingEnrolmentSchema.parse(value), { mode: 0o600 });
}
