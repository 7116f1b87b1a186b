/**
 * Bearer tokens of the configured issuer: signed by a key of its own, for us, now. Its keys are fetched when a token
 * first needs them, kept, and fetched again for a key id that is not among them, at most every half minute.
 */
import { createRemoteJWKSet, errors, jwtVerify, type JWTVerifyGetKey } from 'jose';
import { allowInsecureRequests, discoveryRequest, processDiscoveryResponse } from 'oauth4webapi';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import type { Principal } from '../principal.js';
import { principalOf } from './oidc-claims.js';
import type { OidcSettings } from './oidc-settings.js';

/** Asymmetric ones alone: no public key can be taken for a shared secret, and `none` is no algorithm. */
const algorithms = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'],
  ...['EdDSA', 'Ed25519'],
];
/** Access and ID tokens; a logout token, signed by the same keys, is no login. */
const types = new Set(['jwt', 'at+jwt', 'application/at+jwt']);
const clockToleranceSeconds = 30;
const timeoutMs = 5_000;
/** After an issuer was not found it is left alone for this long: a flood of tokens is none of requests to it. */
const coolDownMs = 10_000;

export class OidcVerifier {
  private keys: Promise<JWTVerifyGetKey> | undefined;
  private failure: { readonly error: AppError; readonly atMs: number } | undefined;

  constructor(
    private readonly settings: OidcSettings,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `auth.invalid`, `auth.forbidden`, `auth.issuer-unreachable` */
  async verify(token: string): Promise<Principal> {
    const { issuer, audience } = this.settings;
    const keys = await this.readKeys();
    try {
      const { payload, protectedHeader } = await jwtVerify(token, keys, {
        issuer,
        audience,
        algorithms,
        clockTolerance: clockToleranceSeconds,
        requiredClaims: ['exp', 'sub'],
        currentDate: new Date(this.clock.now()),
      });
      if (!types.has((protectedHeader.typ ?? 'jwt').toLowerCase())) throw refused('it is another kind of token');
      return principalOf(payload, this.settings);
    } catch (error) {
      throw this.told(error);
    }
  }

  private async readKeys(): Promise<JWTVerifyGetKey> {
    if (this.failure && this.clock.monotonic() - this.failure.atMs < coolDownMs) throw this.failure.error;
    this.keys ??= this.discover();
    try {
      return await this.keys;
    } catch (cause) {
      this.keys = undefined;
      const error = this.unreachable(cause);
      this.failure = { error, atMs: this.clock.monotonic() };
      throw error;
    }
  }

  private async discover(): Promise<JWTVerifyGetKey> {
    const issuer = new URL(this.settings.issuer);
    const options = {
      [allowInsecureRequests]: issuer.protocol === 'http:',
      signal: () => AbortSignal.timeout(timeoutMs),
    };
    const server = await processDiscoveryResponse(issuer, await discoveryRequest(issuer, options));
    if (server.jwks_uri === undefined) throw new Error('its discovery document names no jwks_uri');
    const keys = new URL(server.jwks_uri);
    if (keys.protocol !== 'https:' && issuer.protocol !== 'http:')
      throw new Error(`its jwks_uri ${keys.href} is not https`);
    return createRemoteJWKSet(keys, { timeoutDuration: timeoutMs });
  }

  private told(error: unknown): AppError {
    if (error instanceof AppError) return error;
    if (error instanceof errors.JWTExpired) return refused('it has expired: log in again');
    if (error instanceof errors.JWTClaimValidationFailed)
      return refused(`its claim ${error.claim} is not what it must be`);
    if (error instanceof errors.JWKSNoMatchingKey)
      return refused('it is signed by a key that its issuer does not have');
    if (error instanceof errors.JWSSignatureVerificationFailed) return refused('its signature is wrong');
    if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) {
      return refused('its algorithm is not one that is taken');
    }
    if (error instanceof errors.JWTInvalid || error instanceof errors.JWSInvalid) return refused('it is malformed');
    return this.unreachable(error);
  }

  /** Keys that are there already go on to count: only what needs others fails. */
  private unreachable(cause: unknown): AppError {
    return new AppError(
      'auth.issuer-unreachable',
      `the keys of the issuer ${this.settings.issuer} cannot be fetched (${messageOf(cause)}): API tokens work meanwhile`,
      { cause },
    );
  }
}

function refused(why: string): AppError {
  return new AppError('auth.invalid', `this login is not accepted: ${why}`);
}
