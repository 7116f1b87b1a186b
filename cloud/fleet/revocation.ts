/** Taking certificates back: in the database first, then at the broker, where live sessions end. */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { DeviceAccess } from '#cloud/mqtt/device-access.js';
import type { DeviceCertificateTable } from '#cloud/store/tables.js';
import { CertificateRepository, type RevokedCertificate } from './certificate-repository.js';
import { type Database, DeviceRepository } from './device-repository.js';
import { deviceNotFound } from './device-errors.js';

export interface RevocationOptions {
  readonly db: Database;
  readonly clock: Clock;
  readonly access: DeviceAccess;
}

export class Revocation {
  constructor(private readonly options: RevocationOptions) {}

  /** The newest first. @throws AppError `device.not-found` */
  async list(address: DeviceAddress): Promise<DeviceCertificateTable[]> {
    await this.requireDevice(address);
    return new CertificateRepository(this.options.db).list(address);
  }

  /** @param serial only this one; without it every one that is accepted. @returns how many were revoked */
  async revoke(address: DeviceAddress, reason: string, serial?: string): Promise<number> {
    const certificates = await this.list(address);
    if (serial !== undefined && !certificates.some((certificate) => certificate.serial === serial)) {
      throw new AppError(
        'certificate.not-found',
        `${address.device} has, and had, no certificate ${serial.slice(0, 64)}: flotilla device certificate ${address.device} lists them`,
      );
    }
    const at = toInstant(this.options.clock.now());
    const chosen = serial === undefined ? { at, reason } : { at, reason, serials: [serial] };
    const revoked = await new CertificateRepository(this.options.db).revoke(address, chosen);
    for (const fingerprint of revoked) await this.options.access.revoked(address, fingerprint);
    return revoked.length;
  }

  /** What an authority's revocation list holds. @param endedBefore those that ended earlier count nowhere anyway */
  revokedSerials(authority: string, endedBefore: string): Promise<RevokedCertificate[]> {
    return new CertificateRepository(this.options.db).revokedSerials(authority, endedBefore);
  }

  /** The device connected with this one: what it had before has done its duty. */
  async supersede(address: DeviceAddress, serial: string): Promise<void> {
    const at = toInstant(this.options.clock.now());
    const superseded = await new CertificateRepository(this.options.db).supersede(address, serial, at);
    for (const fingerprint of superseded) await this.options.access.superseded(address, fingerprint);
  }

  private async requireDevice(address: DeviceAddress): Promise<void> {
    if ((await new DeviceRepository(this.options.db).find(address)) === undefined) throw deviceNotFound(address);
  }
}
