import * as z from 'zod';
import { publicKeySchema } from '#shared/protocol/enrolment.js';

/** What a client must know of the control plane that it talks to. */
export const serverBody = z.object({
  version: z.string(),
  /** The key that signs what devices should run. */
  director: publicKeySchema,
  /** SHA-256 of the certificate authority that devices pin, hex. */
  authority: z.string(),
  gatewayUrl: z.string(),
  brokerUrl: z.string(),
});

/** How people can log in. */
export const loginBody = z.object({
  oidc: z.object({ issuer: z.url(), audience: z.string(), clientId: z.string(), scopes: z.string() }).nullable(),
});
