/** Signs for devices and for the control plane's own clients, with the authority that is current. */
import { X509Certificate } from 'node:crypto';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { clientIdOf } from '#shared/protocol/topics.js';
import {
  backdatingMs,
  createClientCertificate,
  fingerprintOf,
  type KeyedCertificate,
  signClientCertificate,
} from './certificates.js';
import { type RevokedSerial, signRevocationList } from './revocation-list.js';

/** Names that no device can have, since `$` stands in no name. */
export const controlPlaneClient = '$control-plane';
export const adminClient = '$admin';

export interface IssuedCertificate {
  /** PEM, and what stands between it and the authority that devices pin. */
  readonly certificate: string;
  /** Hex. */
  readonly serial: string;
  /** SHA-256 of the DER, hex. */
  readonly fingerprint: string;
  readonly notAfterMs: number;
}

export class CertificateIssuer {
  /** SHA-256 of the signing certificate, hex. */
  readonly fingerprint: string;

  /**
   * @param chain PEM of what stands between `authority` and the one that devices pin; empty when it is that one
   * @param former PEM of authorities whose certificates still count, though they sign none any more
   */
  constructor(
    private readonly authority: KeyedCertificate,
    private readonly chain = '',
    private readonly former: readonly string[] = [],
  ) {
    this.fingerprint = fingerprintOf(authority.certificate);
  }

  /** @param publicKey SubjectPublicKeyInfo, DER, of the device */
  async issueDevice(
    address: DeviceAddress,
    publicKey: Uint8Array,
    validity: { readonly nowMs: number; readonly lifetimeMs: number },
  ): Promise<IssuedCertificate> {
    const commonName = clientIdOf(address);
    const subject = { commonName, uri: `flotilla:${commonName}` };
    const leaf = await signClientCertificate(this.authority, subject, Uint8Array.from(publicKey), validity);
    const { serialNumber, validTo } = new X509Certificate(leaf);
    return {
      certificate: leaf + this.chain,
      serial: serialNumber.toLowerCase(),
      fingerprint: fingerprintOf(leaf),
      notAfterMs: Date.parse(validTo),
    };
  }

  /** Was it signed by this authority, or a former one that counts? Its dates are left to the caller. */
  hasIssued(certificate: X509Certificate): boolean {
    return [this.authority.certificate, ...this.former]
      .map((pem) => new X509Certificate(pem))
      .some((authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey));
  }

  /** For a client of the control plane's own, with a key made here. */
  async issueClient(name: typeof controlPlaneClient | typeof adminClient, nowMs: number): Promise<KeyedCertificate> {
    const validity = { nowMs, lifetimeMs: clientLifetimeMs };
    const leaf = await createClientCertificate(this.authority, { commonName: name }, validity);
    return { ...leaf, certificate: leaf.certificate + this.chain };
  }

  /** PEM that OpenSSL, Node and Mosquitto read. */
  async revocationList(revoked: readonly RevokedSerial[], nowMs: number): Promise<string> {
    return signRevocationList(this.authority, revoked, nowMs);
  }
}

const clientLifetimeMs = 397 * backdatingMs;
