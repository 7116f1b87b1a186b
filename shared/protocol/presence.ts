import * as z from 'zod';
import { counterSchema, instantSchema, schemaVersion } from './primitives.js';

/** Retained; the last will says `online: false` for a device that vanishes. */
export const presenceSchema = z.object({
  schema: schemaVersion,
  online: z.boolean(),
  bootId: counterSchema,
  agentVersion: z.string().max(64),
  /** When this connection began, by the device's clock. */
  since: instantSchema,
  /** Serial number of the certificate that this connection was made with, hex: older ones have done their duty. */
  certificate: z
    .string()
    .regex(/^[0-9a-f]{1,64}$/)
    .optional(),
});
export type Presence = z.infer<typeof presenceSchema>;
