/**
 * API tokens: `flt_<id>_<secret>`. The id finds the row, 256 random bits prove that the bearer was given it; of those
 * only the SHA-256 is kept. A plain hash is enough: there is nothing to guess.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

export interface ApiToken {
  /** Public: it stands in lists, logs and the audit log. */
  readonly id: string;
  /** SHA-256 of the secret half, hex. */
  readonly secretHash: string;
}

const form = /^flt_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;

export function newApiToken(): ApiToken & { readonly text: string } {
  const id = randomBytes(8).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  return { id, secretHash: hashOf(secret), text: `flt_${id}_${secret}` };
}

/** Undefined for what is no token of this form. */
export function parseApiToken(text: string): ApiToken | undefined {
  const [, id, secret] = form.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secretHash: hashOf(secret) };
}

/** In a time that does not depend on how much of it is right. */
export function sameSecret(given: ApiToken, storedHash: string): boolean {
  return timingSafeEqual(Buffer.from(given.secretHash, 'hex'), Buffer.from(storedHash, 'hex'));
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
