/** Secrets that a request brings, held against the digests of those that are known. */
import { createHash, timingSafeEqual } from 'node:crypto';

/** What stands behind `Bearer`; undefined where nothing does. */
export function bearerOf(authorization: string | undefined): string | undefined {
  return /^Bearer (.+)$/i.exec(authorization ?? '')?.[1];
}

export function secretDigest(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** How long it takes tells nothing of the secrets: digests have one length, and all are compared to their end. */
export function isAmong(secret: string, digests: readonly Uint8Array[]): boolean {
  const given = secretDigest(secret);
  let found = false;
  for (const digest of digests) found = timingSafeEqual(given, digest) || found;
  return found;
}
