/**
 * Another certificate for a device that shows, by TLS, that it holds the key of one it has. The old one stays accepted
 * until it ends or the new one has been used, so that nothing is lost when the answer is.
 */
import type { X509Certificate } from 'node:crypto';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { clientIdOf, type DeviceAddress, parseClientId } from '#shared/protocol/topics.js';
import type { AuditLog } from '#cloud/audit/audit-log.js';
import type { DeviceAccess } from '#cloud/mqtt/device-access.js';
import type { ControlStore } from '#cloud/store/control-database.js';
import type { CertificateIssuer } from '#cloud/trust/certificate-issuer.js';
import { readSigningRequest } from '#cloud/trust/signing-request.js';
import { CertificateRepository } from './certificate-repository.js';
import type { Certification } from './certification.js';
import { DeviceRepository } from './device-repository.js';
import { judgeRenewal } from './renewal-judgement.js';

export interface RenewalOptions {
  readonly db: ControlStore;
  readonly clock: Clock;
  readonly access: DeviceAccess;
  readonly certification: Certification;
  readonly issuer: () => CertificateIssuer;
  /** How long after its end a certificate still proves who asks. */
  readonly graceMs: number;
  readonly audit: Pick<AuditLog, 'append'>;
}

export interface RenewedDevice {
  readonly address: DeviceAddress;
  readonly certificate: string;
}

/** A device that keeps losing its answers keeps no more than these. */
const keptCertificates = 4;

export class Renewal {
  constructor(private readonly options: RenewalOptions) {}

  /** @param shown what the TLS client proved to hold. @throws AppError that says why not, and what to do */
  async renew(shown: X509Certificate | undefined, csr: string, from: string): Promise<RenewedDevice> {
    if (shown === undefined) {
      throw new AppError(
        'certificate.missing',
        'a renewal is asked for with the certificate of the device: none was shown',
      );
    }
    const address = parseClientId(/^CN=(.+)$/.exec(shown.subject)?.[1] ?? '');
    const { expired, known } = await this.judge(shown, address, from);
    const request = await readSigningRequest(csr);
    if (address === undefined || request.commonName !== clientIdOf(address)) {
      throw new AppError(
        'enrolment.csr-invalid',
        'the certificate signing request is for another name than the certificate',
      );
    }
    const now = toInstant(this.options.clock.now());
    const { certificate, dropped } = await this.options.db.transaction().execute(async (transaction) => {
      const { certificate: made, fresh } = await this.options.certification.certify(transaction, address, request);
      if (fresh) {
        await this.options.audit.append(
          {
            workspace: address.workspace,
            actor: { kind: 'device', id: clientIdOf(address) },
            from,
            action: 'device.renewed',
            target: address.device,
            details: { serial: made.serial, before: serialOf(shown), expired, known },
            outcome: 'done',
          },
          transaction,
        );
      }
      const certificates = new CertificateRepository(transaction);
      const accepted = (await certificates.list(address)).filter(({ revokedAt }) => revokedAt === null);
      const serials = accepted
        .slice(keptCertificates)
        .map(({ serial }) => serial)
        .filter((serial) => serial !== serialOf(shown));
      const superseded =
        serials.length === 0 ? [] : await certificates.revoke(address, { at: now, reason: 'superseded', serials });
      return { certificate: made.certificate, dropped: superseded };
    });
    for (const fingerprint of dropped) await this.options.access.superseded(address, fingerprint);
    await this.options.access.enrolled(address);
    return { address, certificate };
  }

  private async judge(
    shown: X509Certificate,
    address: DeviceAddress | undefined,
    from: string,
  ): Promise<{ expired: boolean; known: boolean }> {
    const { db, clock, graceMs, issuer } = this.options;
    const fingerprint = shown.fingerprint256.replaceAll(':', '').toLowerCase();
    const known = address && (await new CertificateRepository(db).findByFingerprint(address, fingerprint));
    const device = address && (await new DeviceRepository(db).find(address));
    const issued = issuer().hasIssued(shown);
    const judgement = judgeRenewal(
      { device: address?.device ?? '?', notAfterMs: Date.parse(shown.validTo), known, issued },
      { enrolled: device !== undefined, retiredAt: device?.retiredAt ?? null },
      { nowMs: clock.now(), graceMs },
    );
    if (judgement.kind === 'renew') return { expired: judgement.expired, known: known !== undefined };
    // Whoever shows a certificate of ours holds its key; others fill no log.
    if (address !== undefined && (known !== undefined || issued)) {
      await this.options.audit.append({
        workspace: address.workspace,
        actor: { kind: 'device', id: clientIdOf(address) },
        from,
        action: 'device.renewed',
        target: address.device,
        details: { code: judgement.code, serial: serialOf(shown) },
        outcome: 'refused',
      });
    }
    throw new AppError(judgement.code, judgement.message);
  }
}

function serialOf(certificate: X509Certificate): string {
  return certificate.serialNumber.toLowerCase();
}
