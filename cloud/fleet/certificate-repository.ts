/** Certificates of devices in SQL. */
import type { DeviceCertificateTable } from '#cloud/store/tables.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { Database } from './device-repository.js';

export interface RevokedCertificate {
  readonly serial: string;
  readonly revokedAt: string;
}

export class CertificateRepository {
  constructor(private readonly db: Database) {}

  within(transaction: Database): CertificateRepository {
    return new CertificateRepository(transaction);
  }

  async insert(row: DeviceCertificateTable): Promise<void> {
    await this.db.insertInto('deviceCertificates').values(row).execute();
  }

  /** The newest first. */
  async list({ workspace, device }: DeviceAddress): Promise<DeviceCertificateTable[]> {
    return this.db
      .selectFrom('deviceCertificates')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('device', '=', device)
      .orderBy('issuedAt', 'desc')
      .orderBy('serial')
      .execute();
  }

  /** The newest accepted one for a key. */
  async findByKey(
    { workspace, device }: DeviceAddress,
    keyFingerprint: string,
  ): Promise<DeviceCertificateTable | undefined> {
    return this.db
      .selectFrom('deviceCertificates')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('device', '=', device)
      .where('keyFingerprint', '=', keyFingerprint)
      .where('revokedAt', 'is', null)
      .orderBy('issuedAt', 'desc')
      .executeTakeFirst();
  }

  /**
   * Revokes what is still accepted: all of a device, or those of `serials`.
   * @returns the SHA-256 fingerprints of what this call revoked
   */
  async revoke(
    { workspace, device }: DeviceAddress,
    { at, reason, serials }: { readonly at: string; readonly reason: string; readonly serials?: readonly string[] },
  ): Promise<string[]> {
    const update = this.db
      .updateTable('deviceCertificates')
      .set({ revokedAt: at, reason })
      .where('workspace', '=', workspace)
      .where('device', '=', device)
      .where('revokedAt', 'is', null);
    const rows = await (serials === undefined ? update : update.where('serial', 'in', [...serials]))
      .returning('fingerprint')
      .execute();
    return rows.map(({ fingerprint }) => fingerprint);
  }

  async findByFingerprint(
    { workspace, device }: DeviceAddress,
    fingerprint: string,
  ): Promise<DeviceCertificateTable | undefined> {
    return this.db
      .selectFrom('deviceCertificates')
      .selectAll()
      .where('fingerprint', '=', fingerprint)
      .where('workspace', '=', workspace)
      .where('device', '=', device)
      .executeTakeFirst();
  }

  /** Revokes accepted ones that are older than this accepted one. @returns their fingerprints */
  async supersede({ workspace, device }: DeviceAddress, serial: string, at: string): Promise<string[]> {
    const rows = await this.db
      .updateTable('deviceCertificates')
      .set({ revokedAt: at, reason: 'superseded' })
      .where('workspace', '=', workspace)
      .where('device', '=', device)
      .where('revokedAt', 'is', null)
      .where('issuedAt', '<', (query) =>
        query
          .selectFrom('deviceCertificates as used')
          .select('used.issuedAt')
          .where('used.workspace', '=', workspace)
          .where('used.device', '=', device)
          .where('used.serial', '=', serial)
          .where('used.revokedAt', 'is', null),
      )
      .returning('fingerprint')
      .execute();
    return rows.map(({ fingerprint }) => fingerprint);
  }

  /** For a revocation list: of one authority, without those that ended before the instant and count nowhere anyway. */
  async revokedSerials(authority: string, endedBefore: string): Promise<RevokedCertificate[]> {
    const rows = await this.db
      .selectFrom('deviceCertificates')
      .select(['serial', 'revokedAt'])
      .where('revokedAt', 'is not', null)
      .where('authority', '=', authority)
      .where('notAfter', '>=', endedBefore)
      .orderBy('serial')
      .execute();
    return rows.map(({ serial, revokedAt }) => ({ serial, revokedAt: revokedAt ?? endedBefore }));
  }
}
