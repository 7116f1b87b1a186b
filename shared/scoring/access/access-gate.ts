/** The rules of access in force, with the secrets that they speak of. They may be replaced at any time. */
import type { IncomingHttpHeaders } from 'node:http';
import { bearerOf, isAmong, secretDigest } from './bearer.js';
import type { HostAccess } from './host-access.js';
import { type AccessQuestion, type AccessVerdict, type Credential, judgeRequest } from './judge-request.js';

export class AccessGate {
  private digests: readonly Uint8Array[] = [];
  /** A `Host` that was admitted. Most clients send the same each time. */
  private knownHost: string | undefined;

  /** @param controlToken lets in where a key would, so that who loads models needs no second secret */
  constructor(
    private access: HostAccess,
    private readonly controlToken: string | undefined,
  ) {
    this.replace(access);
  }

  /** From the next request on. */
  replace(access: HostAccess): void {
    this.access = access;
    this.knownHost = undefined;
    const own = this.controlToken === undefined ? [] : [secretDigest(this.controlToken)];
    this.digests = [...access.keyDigests.map((digest) => Buffer.from(digest, 'hex')), ...own];
  }

  get asksForKeys(): boolean {
    return this.access.mode === 'keys';
  }

  judge(question: AccessQuestion, authorization: string | undefined): AccessVerdict {
    return judgeRequest(this.access, question, () => this.credentialOf(authorization));
  }

  /** Whether there is nothing to judge: a program asks as the one before it did. Costs two look-ups. */
  admitsAtOnce(headers: IncomingHttpHeaders): boolean {
    return (
      headers.host === this.knownHost &&
      headers.origin === undefined &&
      headers['sec-fetch-site'] === undefined &&
      this.access.mode === 'open'
    );
  }

  /** @param host of a request that was admitted */
  remember(host: string | undefined): void {
    this.knownHost = host;
  }

  private credentialOf(authorization: string | undefined): Credential {
    const given = bearerOf(authorization);
    if (given === undefined) return 'none';
    return isAmong(given, this.digests) ? 'known' : 'unknown';
  }
}
