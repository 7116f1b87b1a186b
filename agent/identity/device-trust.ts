/**
 * Whom the device believes: directors of what it should run, publishers of what may run, authorities of
 * the control plane's certificates. Pinned by the enrolment token (version 0); readers ask at each use.
 */
import * as z from 'zod';
import { JsonDocument } from '#shared/platform/atomic-file.js';
import { publicKeySchema } from '#shared/protocol/enrolment.js';
import { counterSchema } from '#shared/protocol/primitives.js';

export const deviceTrustSchema = z.object({
  /** Of the trust document that says it; 0 for what the token pinned. */
  version: counterSchema,
  directors: z.array(publicKeySchema).min(1).max(8),
  publishers: z.array(publicKeySchema).min(1).max(8),
  /** How many publishers must sign the next version. */
  threshold: z.int().min(1).max(8).default(1),
  withdrawn: z.array(publicKeySchema).max(64).default([]),
  /** PEM. */
  authorities: z.array(z.string().startsWith('-----BEGIN CERTIFICATE-----')).min(1).max(8),
});
export type DeviceTrust = z.infer<typeof deviceTrustSchema>;

/** What a token pins: one of the publishers must sign whatever follows. */
export function pinnedTrust(pins: Pick<DeviceTrust, 'directors' | 'publishers' | 'authorities'>): DeviceTrust {
  return { version: 0, ...pins, threshold: 1, withdrawn: [] };
}

export function trustDocument(path: string): JsonDocument<DeviceTrust> {
  return new JsonDocument(path, (value) => deviceTrustSchema.parse(value), { mode: 0o600 });
}

export interface TrustSource {
  current(): DeviceTrust;
}

/** The trust on disk and in memory, in this order. */
export class KeptTrust implements TrustSource {
  private constructor(
    private readonly document: JsonDocument<DeviceTrust>,
    private value: DeviceTrust,
  ) {}

  /** Undefined where there is none. @throws AppError `state.corrupt` */
  static async open(path: string): Promise<KeptTrust | undefined> {
    const document = trustDocument(path);
    const read = await document.read();
    return read && new KeptTrust(document, read.value);
  }

  current(): DeviceTrust {
    return this.value;
  }

  /** Durable when it resolves, and not in force before. */
  async replace(value: DeviceTrust): Promise<void> {
    await this.document.write(value);
    this.value = value;
  }
}
