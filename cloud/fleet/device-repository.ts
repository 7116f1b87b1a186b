/** Devices in SQL: identity, presence, tags and the two sides of the twin. */
import type { Kysely, Selectable, Updateable } from 'kysely';
import { tagsSchema } from '#shared/protocol/primitives.js';
import { type ReportedState, reportedStateSchema } from '#shared/protocol/reported.js';
import type { ControlDatabase, DeviceTable } from '#cloud/store/tables.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { convergedGenerationOf, DeviceFacts } from './device-facts.js';

/** A connection or a transaction. */
export type Database = Kysely<ControlDatabase>;

export interface DesiredSide {
  readonly generation: number;
  readonly envelope: string | null;
}

export interface DesiredNow {
  readonly generation: number;
  /** As name:version; empty where its modules are none. */
  readonly release: string;
}

/** A device as it is read. */
export type DeviceRow = Selectable<DeviceTable>;

export type DeviceChange = Partial<Omit<Updateable<DeviceTable>, 'workspace' | 'name' | 'convergedGeneration'>>;

export class DeviceRepository {
  constructor(private readonly db: Database) {}

  /** The same questions within a transaction. */
  within(transaction: Database): DeviceRepository {
    return new DeviceRepository(transaction);
  }

  async find({ workspace, device }: DeviceAddress): Promise<DeviceRow | undefined> {
    return this.db
      .selectFrom('devices')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('name', '=', device)
      .executeTakeFirst();
  }

  /** By name, ascending; `after` is the last name of the page before. */
  async list(workspace: string, limit: number, after?: string): Promise<DeviceRow[]> {
    const query = this.db
      .selectFrom('devices')
      .selectAll()
      .where('workspace', '=', workspace)
      .orderBy('name')
      .limit(limit);
    return (after === undefined ? query : query.where('name', '>', after)).execute();
  }

  async listEnrolled(): Promise<DeviceAddress[]> {
    return this.db
      .selectFrom('devices')
      .select(['workspace', 'name as device'])
      .where('retiredAt', 'is', null)
      .execute();
  }

  /** Of devices that are not retired. */
  async listNames(workspace: string): Promise<string[]> {
    const rows = await this.db
      .selectFrom('devices')
      .select('name')
      .where('workspace', '=', workspace)
      .where('retiredAt', 'is', null)
      .execute();
    return rows.map(({ name }) => name);
  }

  /** For a broker that is shown a certificate: which ones it accepts, SHA-256 in hex. */
  async findDevice({
    workspace,
    device,
  }: DeviceAddress): Promise<{ readonly fingerprints: readonly string[]; readonly retired: boolean } | undefined> {
    const rows = await this.db
      .selectFrom('devices')
      .leftJoin('deviceCertificates', (join) =>
        join
          .onRef('deviceCertificates.workspace', '=', 'devices.workspace')
          .onRef('deviceCertificates.device', '=', 'devices.name')
          .on('deviceCertificates.revokedAt', 'is', null),
      )
      .select(['devices.retiredAt', 'deviceCertificates.fingerprint'])
      .where('devices.workspace', '=', workspace)
      .where('devices.name', '=', device)
      .execute();
    const [first] = rows;
    if (first === undefined) return undefined;
    return {
      fingerprints: rows.map(({ fingerprint }) => fingerprint).filter((fingerprint) => fingerprint !== null),
      retired: first.retiredAt !== null,
    };
  }

  /** Of a device that is not retired. */
  async findDesired({ workspace, device }: DeviceAddress): Promise<DesiredSide | undefined> {
    return this.db
      .selectFrom('devices')
      .select(['desiredGeneration as generation', 'desiredEnvelope as envelope'])
      .where('workspace', '=', workspace)
      .where('name', '=', device)
      .where('retiredAt', 'is', null)
      .executeTakeFirst();
  }

  /** Of those that are not retired, by device. */
  async listDesired(workspace: string, devices: readonly string[]): Promise<Map<string, DesiredNow>> {
    const rows = await this.db
      .selectFrom('devices')
      .select(['name', 'desiredGeneration as generation', 'desiredRelease as release'])
      .where('workspace', '=', workspace)
      .where('name', 'in', [...devices])
      .where('retiredAt', 'is', null)
      .execute();
    return new Map(rows.map(({ name, ...desired }) => [name, desired]));
  }

  /** What queries find the device by changes with it. */
  async update(address: DeviceAddress, change: DeviceChange): Promise<void> {
    const { tagsJson, reportedJson } = change;
    const tags = tagsJson === undefined ? undefined : tagsSchema.parse(JSON.parse(tagsJson));
    const reported = reportedJson === undefined ? undefined : reportedStateSchema.parse(JSON.parse(reportedJson));
    await this.together(async (db) => {
      await db
        .updateTable('devices')
        .set(reported === undefined ? change : { ...change, convergedGeneration: convergedGenerationOf(reported) })
        .where('workspace', '=', address.workspace)
        .where('name', '=', address.device)
        .execute();
      if (tags !== undefined || reported !== undefined) await new DeviceFacts(db).write(address, { tags, reported });
    });
  }

  /** The next report of a device in the place of the one before, as both were read: many come, and most change little. */
  async storeReport(
    address: DeviceAddress,
    { before, after }: { readonly before: ReportedState; readonly after: ReportedState },
    change: Omit<DeviceChange, 'reportedJson' | 'tagsJson'>,
  ): Promise<void> {
    await this.together(async (db) => {
      await db
        .updateTable('devices')
        .set({ ...change, reportedJson: JSON.stringify(after), convergedGeneration: convergedGenerationOf(after) })
        .where('workspace', '=', address.workspace)
        .where('name', '=', address.device)
        .execute();
      await new DeviceFacts(db).follow(address, before, after);
    });
  }

  private async together(act: (db: Database) => Promise<void>): Promise<void> {
    if (this.db.isTransaction) await act(this.db);
    else await this.db.transaction().execute(act);
  }

  /**
   * Writes the desired side if its generation is still the expected one.
   * @returns false when somebody else was faster
   */
  async compareAndSetDesired(
    { workspace, device }: DeviceAddress,
    expectedGeneration: number,
    desired: { generation: number; envelope: string; expiresAt: string; release?: string },
  ): Promise<boolean> {
    const result = await this.db
      .updateTable('devices')
      .set({
        desiredGeneration: desired.generation,
        desiredEnvelope: desired.envelope,
        desiredExpiresAt: desired.expiresAt,
        ...(desired.release === undefined ? {} : { desiredRelease: desired.release }),
      })
      .where('workspace', '=', workspace)
      .where('name', '=', device)
      .where('desiredGeneration', '=', expectedGeneration)
      .where('retiredAt', 'is', null)
      .executeTakeFirst();
    return result.numUpdatedRows === 1n;
  }

  /** Devices whose document ends before the instant, soonest first. */
  async listExpiring(before: string, limit: number): Promise<DeviceAddress[]> {
    return this.db
      .selectFrom('devices')
      .select(['workspace', 'name as device'])
      .where('retiredAt', 'is', null)
      .where('desiredEnvelope', 'is not', null)
      .where('desiredExpiresAt', '<', before)
      .orderBy('desiredExpiresAt')
      .limit(limit)
      .execute();
  }

  /** At start nobody is known to be there; whoever is says so when it connects. */
  async markAllOffline(): Promise<void> {
    await this.db.updateTable('devices').set({ online: 0 }).where('online', '=', 1).execute();
  }

  async countOnline(): Promise<number> {
    const row = await this.db
      .selectFrom('devices')
      .select((query) => query.fn.countAll<number>().as('count'))
      .where('online', '=', 1)
      .executeTakeFirstOrThrow();
    return Number(row.count);
  }
}
