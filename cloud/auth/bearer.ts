/** The `Authorization` header (RFC 6750): one bearer token, of the characters that a token may have. */
import { AppError } from '#shared/kernel/errors.js';

/** An OIDC access token with many claims stays well below; Node takes 16 KiB of headers. */
const maxTokenLength = 8192;

/** @throws AppError `auth.missing`, `auth.invalid`; never with a part of what was sent */
export function readBearer(authorization: string | undefined): string {
  if (authorization === undefined) {
    throw new AppError('auth.missing', 'this needs a token: send "Authorization: Bearer <token>", or flotilla login');
  }
  const token = /^Bearer +([\x21-\x7e]+)$/i.exec(authorization)?.[1];
  if (token === undefined || token.length > maxTokenLength) {
    throw new AppError('auth.invalid', 'the Authorization header is not "Bearer <token>"');
  }
  return token;
}
