/** API tokens: 256 random bits with a recognisable prefix, of which only the SHA-256 is kept. */
import { createHash, randomBytes } from 'node:crypto';

const prefix = 'flt_';

export function newTokenSecret(): string {
  return `${prefix}${randomBytes(32).toString('base64url')}`;
}

/** A plain hash is enough: the secret has 256 bits of its own, there is nothing to guess. */
export function hashOfToken(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
