/** Who may load and unload models over the network. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { AppError } from '#shared/kernel/errors.js';

/**
 * @param token of the host; undefined: nobody may
 * @throws AppError `auth.forbidden` where the host has no token, `auth.missing`, `auth.invalid`
 */
export function requireControlToken(token: string | undefined, authorization: string | undefined): void {
  if (token === undefined) {
    throw new AppError('auth.forbidden', 'this host has no control token: its models are loaded by its owner alone');
  }
  const given = /^Bearer (.+)$/i.exec(authorization ?? '')?.[1];
  if (given === undefined) {
    throw new AppError('auth.missing', 'send the control token of this host as Authorization: Bearer');
  }
  // Digests have one length, whatever was sent.
  if (!timingSafeEqual(digest(given), digest(token))) {
    throw new AppError('auth.invalid', 'this is not the control token of this host');
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
