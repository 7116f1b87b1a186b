/**
 * Enrolment: a one-time token, carried by a person from the control plane to the device, pins
 * everything the device will trust: the authority of the server's certificate, the director's key,
 * and the publishers' keys, which the person's own machine adds.
 */
import * as z from 'zod';
import { err, ok, type Result } from '#shared/kernel/result.js';
import { describeIssues } from './decode.js';
import { capabilitiesSchema } from './reported.js';
import { counterSchema, nameSchema, tagsSchema } from './primitives.js';

/** A raw Ed25519 public key, 32 bytes in base64url. */
export const publicKeySchema = z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be 32 bytes in base64url');

const tokenPrefix = 'flotilla-enrol-1.';

export const enrolmentTokenSchema = z.strictObject({
  /** The device gateway, https. */
  url: z
    .url({ protocol: /^https$/ })
    .regex(/^https:/i, 'must begin with https:')
    .max(256),
  workspace: nameSchema,
  /** Proves to the control plane that it made this token; used once. */
  secret: z.string().min(32).max(128),
  /** SHA-256 of the DER of the certificate authority, hex. */
  authority: z.string().regex(/^[0-9a-f]{64}$/),
  director: publicKeySchema,
  publishers: z.array(publicKeySchema).min(1).max(8),
});
export type EnrolmentToken = z.infer<typeof enrolmentTokenSchema>;

export function formatEnrolmentToken(token: EnrolmentToken): string {
  const bytes = new TextEncoder().encode(JSON.stringify(token));
  const text = btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');
  return tokenPrefix + text;
}

export function parseEnrolmentToken(text: string): Result<EnrolmentToken, string> {
  const trimmed = text.trim();
  if (!trimmed.startsWith(tokenPrefix)) return err(`an enrolment token starts with ${tokenPrefix}`);
  if (trimmed.length > 4096) return err('longer than any enrolment token');
  try {
    const base64 = trimmed.slice(tokenPrefix.length).replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const parsed = enrolmentTokenSchema.safeParse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
    return parsed.success ? ok(parsed.data) : err(describeIssues(parsed.error));
  } catch {
    return err('cut short or changed on the way: copy the whole token again');
  }
}

const certificatePemSchema = z
  .string()
  .regex(/^-----BEGIN CERTIFICATE-----/, 'must be PEM')
  .max(65_536);

/** PKCS #10, PEM: P-256, signed by its own key, so that nobody enrols with a key that is not theirs. */
export const signingRequestSchema = z
  .string()
  .regex(/^-----BEGIN CERTIFICATE REQUEST-----/, 'must be a PKCS #10 request in PEM')
  .max(4096);

/** POST /v1/enrol on the device gateway. The keys were made on the device and do not leave it. */
export const enrolmentRequestSchema = z.strictObject({
  workspace: nameSchema,
  secret: z.string().min(32).max(128),
  /** Absent: the fleet claim names the device. */
  device: nameSchema.optional(),
  /** Its subject is `CN={workspace}/{device}`, or `CN={workspace}` for a device without a name. */
  csr: signingRequestSchema,
  /** A raw X25519 public key: what is secret is sealed to it. */
  sealingKey: publicKeySchema,
  /** What the machine calls itself, for lists and names of fleet claims; nothing proves it. */
  hardwareId: z.string().min(1).max(128).optional(),
  tags: tagsSchema.default({}),
  capabilities: capabilitiesSchema,
});
export type EnrolmentRequest = z.infer<typeof enrolmentRequestSchema>;

const brokerAddressSchema = z.object({
  /** mqtts://host:port, or wss://host:port/path */
  url: z.url().max(256),
  /** The name that the broker's certificate must carry, whatever address it is reached by. */
  serverName: z.string().max(253),
  /** Certificates, PEM, that the broker's must chain to; absent: the authority that the token pins. */
  authority: certificatePemSchema.optional(),
});

export const enrolmentResponseSchema = z.object({
  workspace: nameSchema,
  device: nameSchema,
  /** The device's certificate, PEM, and what stands between it and the authority. */
  certificate: certificatePemSchema,
  broker: brokerAddressSchema,
  /** Another machine had this name: boot numbers go on above its. */
  bootIdAbove: counterSchema.default(0),
  /** The director's key as the server knows it; the device checks it against the token. */
  director: publicKeySchema,
});
export type EnrolmentResponse = z.infer<typeof enrolmentResponseSchema>;

/** Status 202: somebody must approve this device first. The same request is to be sent again. */
export const enrolmentPendingSchema = z.object({
  state: z.literal('pending'),
  retryAfterSeconds: z.number().min(1).max(3600),
});
export type EnrolmentPending = z.infer<typeof enrolmentPendingSchema>;

/** POST /v1/renew on the device gateway, over TLS with the certificate that the device has, even one that has ended. */
export const renewalRequestSchema = z.strictObject({ csr: signingRequestSchema });
export type RenewalRequest = z.infer<typeof renewalRequestSchema>;

export const renewalResponseSchema = z.object({ certificate: certificatePemSchema, broker: brokerAddressSchema });
export type RenewalResponse = z.infer<typeof renewalResponseSchema>;

/** The name in the control plane's own certificate: devices check it, so addresses may change. */
export const controlPlaneServerName = 'control-plane.flotilla.internal';
