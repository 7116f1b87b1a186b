import { randomBytes } from 'node:crypto';

/** 256 random bits in base64url: so many that a plain digest is enough to store. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url');
}
