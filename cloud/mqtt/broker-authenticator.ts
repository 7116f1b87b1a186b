/** Judges every CONNECT on the embedded broker: the verified certificate, against what the database knows. */
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { type ConnectClaim, type Identity, readClaim, type RefusalReason } from './broker-access.js';
import type { ClientCertificate } from './client-certificate.js';

export type Authentication =
  | { readonly kind: 'accepted'; readonly identity: Identity }
  | { readonly kind: 'refused'; readonly reason: RefusalReason };

export interface KnownDevice {
  /** Certificates that are accepted, SHA-256 of the DER in hex. */
  readonly fingerprints: readonly string[];
  readonly retired: boolean;
}

export interface AuthenticatorOptions {
  /** Read at every CONNECT, so that a retired device or a revoked certificate is out at once. */
  readonly findDevice: (address: DeviceAddress) => Promise<KnownDevice | undefined>;
  /** Of the one certificate of the admin that counts, SHA-256 in hex. */
  readonly adminFingerprint: () => string | undefined;
}

export class BrokerAuthenticator {
  constructor(private readonly options: AuthenticatorOptions) {}

  async authenticate(
    certificate: ClientCertificate,
    connect: Omit<ConnectClaim, 'certificateName'>,
  ): Promise<Authentication> {
    const claim = readClaim({ ...connect, certificateName: certificate.name });
    if (claim.kind === 'refused') return claim;
    if (await this.stillAccepts(claim, certificate.fingerprint)) return { kind: 'accepted', identity: claim };
    return { kind: 'refused', reason: 'not-authorized' };
  }

  async stillAccepts(identity: Identity, fingerprint: string): Promise<boolean> {
    if (identity.kind === 'admin') return fingerprint === this.options.adminFingerprint();
    const device = await this.options.findDevice(identity.address);
    return device !== undefined && !device.retired && device.fingerprints.includes(fingerprint);
  }
}
