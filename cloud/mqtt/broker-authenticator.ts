/** Turns what a client presents into who it is; for the embedded broker, which asks at every CONNECT. */
import { timingSafeEqual, createHash } from 'node:crypto';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { type BrokerCredentials, type Identity, readClaim } from './broker-access.js';
import type { PasswordVerifier } from './broker-password.js';

export type RefusalReason = 'identifier' | 'credentials' | 'not-authorized';
export type Authentication =
  | { readonly kind: 'accepted'; readonly identity: Identity }
  | { readonly kind: 'refused'; readonly reason: RefusalReason };

export interface KnownCredential {
  readonly secretHash: string;
  readonly retired: boolean;
}

export interface AuthenticatorOptions {
  /** Read at every CONNECT, so that a retired device is out at once. */
  readonly findDevice: (address: DeviceAddress) => Promise<KnownCredential | undefined>;
  readonly adminPassword: string;
  readonly passwords: PasswordVerifier;
  /** A hash that nothing fits: an unknown device costs what a wrong password costs. */
  readonly decoyHash: string;
}

export class BrokerAuthenticator {
  constructor(private readonly options: AuthenticatorOptions) {}

  async authenticate(credentials: BrokerCredentials): Promise<Authentication> {
    const claim = readClaim(credentials);
    if (claim.kind === 'refused') return claim;
    const password = credentials.password ?? Buffer.alloc(0);
    if (claim.kind === 'admin') {
      return sameText(password, this.options.adminPassword)
        ? { kind: 'accepted', identity: { kind: 'admin' } }
        : { kind: 'refused', reason: 'credentials' };
    }
    const device = await this.options.findDevice(claim.address);
    const right = await this.options.passwords.verify(password, device?.secretHash ?? this.options.decoyHash);
    if (device === undefined || !right) return { kind: 'refused', reason: 'credentials' };
    if (device.retired) return { kind: 'refused', reason: 'not-authorized' };
    return { kind: 'accepted', identity: { kind: 'device', address: claim.address } };
  }
}

/** Compared by digest, so that neither content nor length shows in the time it takes. */
function sameText(given: Buffer, expected: string): boolean {
  const hash = (data: Buffer | string): Buffer => createHash('sha256').update(data).digest();
  return timingSafeEqual(hash(given), hash(expected));
}
