/** Who may load and unload models over the network. */
import { AppError } from '#shared/kernel/errors.js';
import { bearerOf, isAmong, secretDigest } from '../access/bearer.js';

/**
 * @param token of the host; undefined: nobody may
 * @throws AppError `auth.forbidden` where the host has no token, `auth.missing`, `auth.invalid`
 */
export function requireControlToken(token: string | undefined, authorization: string | undefined): void {
  if (token === undefined) {
    throw new AppError('auth.forbidden', 'this host has no control token: its models are loaded by its owner alone');
  }
  const given = bearerOf(authorization);
  if (given === undefined) {
    throw new AppError('auth.missing', 'send the control token of this host as Authorization: Bearer');
  }
  if (!isAmong(given, [secretDigest(token)])) {
    throw new AppError('auth.invalid', 'this is not the control token of this host');
  }
}
