/** Who may call one endpoint: by key, by token, or anyone, but no web page by surprise. */
import type { IncomingHttpHeaders } from 'node:http';
import { createLocalJWKSet, errors, type JWK, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { bearerOf, isAmong, secretDigest } from '#shared/scoring/access/bearer.js';
import type { NamedAddresses } from '#shared/scoring/access/host-access.js';
import { judgeRequest } from '#shared/scoring/access/judge-request.js';
import type { EndpointAuth } from '../desired-services.js';

/** By which names and addresses an endpoint that anyone may call is asked, besides loopback's. */
export interface FrontNames {
  readonly hostNames: readonly string[];
  readonly addresses: NamedAddresses;
}

/** Undefined: the caller may. */
export type AccessVerdict = AppError | undefined;

const rememberedTokens = 1000;
/** Longer than any token that the control plane issues. */
const maxTokenLength = 4096;
const algorithms = ['EdDSA', 'Ed25519'];

export class CallerAccess {
  private readonly digests: readonly Buffer[];
  private readonly tokenKeys: JWTVerifyGetKey | undefined;
  /** Tokens that were verified, by digest, until when they count (seconds since the epoch); the oldest first. */
  private readonly verified = new Map<string, number>();

  constructor(
    readonly auth: EndpointAuth,
    private readonly endpointId: string,
    private readonly names: FrontNames,
    private readonly clock: Clock,
  ) {
    this.digests = auth.mode === 'key' ? auth.keyDigests.map((digest) => Buffer.from(digest, 'hex')) : [];
    this.tokenKeys = auth.mode === 'token' ? createLocalJWKSet({ keys: auth.publicKeys as JWK[] }) : undefined;
  }

  /** At once, but for a token that was not seen before. */
  judge(headers: IncomingHttpHeaders): AccessVerdict | Promise<AccessVerdict> {
    if (this.auth.mode === 'none') return this.judgePage(headers);
    const secret = bearerOf(headers.authorization);
    const what = this.auth.mode === 'key' ? 'key' : 'token';
    if (secret === undefined) {
      return new AppError('auth.missing', `this endpoint asks for a ${what}: send it as Authorization: Bearer`);
    }
    if (this.auth.mode === 'token') return this.judgeToken(secret, this.auth.issuer);
    return isAmong(secret, this.digests)
      ? undefined
      : new AppError('auth.invalid', 'this is no key of this endpoint, or it was regenerated');
  }

  /** Whoever opens a page on this machine must not run models by that. A page that has a key was given it. */
  private judgePage(headers: IncomingHttpHeaders): AccessVerdict {
    const fetchSite = headers['sec-fetch-site'];
    const verdict = judgeRequest(
      { mode: 'open', corsOrigins: [], ...this.names },
      {
        host: headers.host,
        origin: headers.origin,
        fetchSite: typeof fetchSite === 'string' ? fetchSite : fetchSite?.[0],
        isPreflight: false,
        isHealth: false,
      },
      () => 'none',
    );
    if (verdict.kind !== 'refused') return undefined;
    return verdict.code === 'request.wrong-host'
      ? new AppError(
          'request.wrong-host',
          'an endpoint without keys is asked by an address of its machine or as localhost',
        )
      : new AppError('request.wrong-origin', 'a web page asked an endpoint without keys, and may not');
  }

  private judgeToken(token: string, issuer: string): AccessVerdict | Promise<AccessVerdict> {
    if (token.length > maxTokenLength) return new AppError('auth.invalid', 'this token is longer than any of ours');
    const digest = secretDigest(token).toString('base64');
    const until = this.verified.get(digest);
    if (until !== undefined && until * 1000 > this.clock.now()) return undefined;
    this.verified.delete(digest);
    return this.verify(token, digest, issuer);
  }

  private async verify(token: string, digest: string, issuer: string): Promise<AccessVerdict> {
    if (!this.tokenKeys) return new AppError('auth.invalid', 'this endpoint takes no tokens');
    try {
      const { payload } = await jwtVerify(token, this.tokenKeys, {
        ...{ algorithms, issuer, audience: this.endpointId, requiredClaims: ['exp'] },
        currentDate: new Date(this.clock.now()),
      });
      this.remember(digest, payload.exp ?? 0);
      return undefined;
    } catch (error) {
      const why =
        error instanceof errors.JWTExpired
          ? 'this token has expired: get another'
          : 'this is no token for this endpoint that its control plane signed';
      return new AppError('auth.invalid', why);
    }
  }

  private remember(digest: string, until: number): void {
    if (this.verified.size >= rememberedTokens) {
      const [oldest] = this.verified.keys();
      if (oldest !== undefined) this.verified.delete(oldest);
    }
    this.verified.set(digest, until);
  }
}
