/**
 * Keys and tokens of endpoints, all derived from one secret (decision 0038): the database holds which version of a key
 * counts, the service host what a key hashes to, and nobody the keys themselves. A key that was replaced cannot come
 * back: versions only rise. Tokens are signed by a key derived alike.
 */
import { createHash, createPrivateKey, createPublicKey, hkdfSync, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, SignJWT } from 'jose';
import type { EndpointAuth } from '../desired-services.js';
import { type Endpoint, type KeySlot, keySlots } from './endpoint-model.js';

export const secretBytes = 32;
/** Who signs tokens, for those who check them. */
export const tokenIssuer = 'flotilla';

export interface TokenClaims {
  /** The endpoint's id. */
  readonly audience: string;
  /** Who asked for it. */
  readonly subject: string;
  readonly id: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

/** An Ed25519 private key is these bytes and its seed, in PKCS #8. */
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex');

export class EndpointKeys {
  private constructor(
    private readonly secret: Buffer,
    private readonly signer: KeyObject,
    private readonly publicJwk: Readonly<Record<string, string>> & { readonly kid: string },
  ) {}

  /** @param secret {@link secretBytes} random bytes */
  static async of(secret: Buffer): Promise<EndpointKeys> {
    if (secret.length !== secretBytes) throw new Error(`the secret of endpoints has ${String(secretBytes)} bytes`);
    const seed = derive(secret, 'tokens');
    const signer = createPrivateKey({ key: Buffer.concat([pkcs8, seed]), format: 'der', type: 'pkcs8' });
    const jwk = createPublicKey(signer).export({ format: 'jwk' }) as Record<string, string>;
    const kid = await calculateJwkThumbprint(jwk);
    return new EndpointKeys(secret, signer, { ...jwk, kid, alg: 'EdDSA', use: 'sig' });
  }

  /** What a caller sends as its bearer token. */
  key({ id, keyVersions }: Pick<Endpoint, 'id' | 'keyVersions'>, slot: KeySlot): string {
    const bytes = derive(this.secret, 'key', id, slot, String(keyVersions[slot]));
    return `fle_${bytes.toString('base64url')}`;
  }

  /** What the service host checks callers by. */
  auth(endpoint: Pick<Endpoint, 'id' | 'keyVersions' | 'auth'>): EndpointAuth {
    switch (endpoint.auth) {
      case 'none':
        return { mode: 'none' };
      case 'token':
        return { mode: 'token', issuer: tokenIssuer, publicKeys: [{ ...this.publicJwk }] };
      case 'key':
        return { mode: 'key', keyDigests: keySlots.map((slot) => digestOfKey(this.key(endpoint, slot))) };
    }
  }

  async token({ audience, subject, id, issuedAtMs, expiresAtMs }: TokenClaims): Promise<string> {
    return new SignJWT({})
      .setProtectedHeader({ alg: 'EdDSA', kid: this.publicJwk.kid })
      .setIssuer(tokenIssuer)
      .setAudience(audience)
      .setSubject(subject)
      .setJti(id)
      .setIssuedAt(Math.floor(issuedAtMs / 1000))
      .setExpirationTime(Math.floor(expiresAtMs / 1000))
      .sign(this.signer);
  }
}

/** SHA-256 of the key's text, hex. */
export function digestOfKey(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

/** No two uses give the same bytes: none of the words has a line break. */
function derive(secret: Buffer, ...use: readonly string[]): Buffer {
  const info = ['flotilla endpoints', ...use].join('\n');
  return Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), info, 32));
}
