/** Gives devices their certificates, and takes them back. */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { DeviceCertificateTable } from '#cloud/store/tables.js';
import type { CertificateIssuer } from '#cloud/trust/certificate-issuer.js';
import type { SigningRequest } from '#cloud/trust/signing-request.js';
import { CertificateRepository } from './certificate-repository.js';
import type { Database } from './device-repository.js';

export interface CertificationOptions {
  readonly clock: Clock;
  /** Asked at each certificate: authorities change. */
  readonly issuer: () => CertificateIssuer;
  readonly certificateMs: number;
}

export class Certification {
  constructor(private readonly options: CertificationOptions) {}

  /** The certificate that this key has where most of its life is left, or a new one. */
  async certify(
    transaction: Database,
    address: DeviceAddress,
    request: SigningRequest,
  ): Promise<{ readonly certificate: DeviceCertificateTable; readonly fresh: boolean }> {
    const { clock, certificateMs } = this.options;
    const issuer = this.options.issuer();
    const certificates = new CertificateRepository(transaction);
    const nowMs = clock.now();
    const found = await certificates.findByKey(address, request.keyFingerprint);
    if (found?.authority === issuer.fingerprint && Date.parse(found.notAfter) > nowMs + certificateMs / 2) {
      return { certificate: found, fresh: false };
    }
    const issued = await issuer.issueDevice(address, request.publicKey, { nowMs, lifetimeMs: certificateMs });
    const certificate: DeviceCertificateTable = {
      workspace: address.workspace,
      device: address.device,
      serial: issued.serial,
      fingerprint: issued.fingerprint,
      keyFingerprint: request.keyFingerprint,
      authority: issuer.fingerprint,
      certificate: issued.certificate,
      issuedAt: toInstant(nowMs),
      notAfter: toInstant(issued.notAfterMs),
      revokedAt: null,
      reason: null,
    };
    await certificates.insert(certificate);
    return { certificate, fresh: true };
  }
}
