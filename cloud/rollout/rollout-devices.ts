/** The devices of rollouts in SQL, beside what their twins say. */
import { sql } from 'kysely';
import { parseReference } from '#shared/kernel/names.js';
import { reportedStateSchema } from '#shared/protocol/reported.js';
import { PrefetchRepository } from '#cloud/fleet/prefetch-repository.js';
import type { Beneath } from '#cloud/fleet/layers/device-layers.js';
import { devicesWithStaleLayers, layerDigests } from '#cloud/fleet/layers/stale-devices.js';
import type { ReleasedModule } from '#cloud/fleet/release-plan.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { RolloutDeviceTable } from '#cloud/store/rollout-tables.js';
import { observe, type Problem } from './observe.js';
import type { Outcome, RolloutDevice, Standing } from './rollout-model.js';
import type { RolloutAddress } from './rollout-repository.js';

/** What a device had before it was first asked something: where a rollback leads. */
export interface Previous {
  /** As name:version; empty where its modules were no release. */
  readonly release: string;
  readonly modules: readonly Omit<ReleasedModule, 'requires'>[];
  /** Where layers were over it: what lay below them, and which they were. */
  readonly beneath?: Beneath;
}

/** A device as it was loaded: what is written later holds only if its twin has not changed since. */
export interface LoadedDevice extends RolloutDevice {
  readonly desiredGeneration: number;
}

export interface NewRolloutDevice {
  readonly device: string;
  readonly wave: number;
  /** Of a rollout that was superseded before the device had done what it asked. */
  readonly previousJson?: string | null | undefined;
}

export interface Claim {
  readonly device: string;
  readonly rollout: number;
  readonly standing: Standing;
  readonly previousJson: string | null;
}

const insertedAtOnce = 500;

export class RolloutDevices {
  constructor(private readonly db: Database) {}

  within(transaction: Database): RolloutDevices {
    return new RolloutDevices(transaction);
  }

  /**
   * @param release what the rollout deploys, as name:version
   * @param members devices that match the fleet now; absent: nobody asks
   * @param awayFrom before this instant nothing is known of who was away
   */
  async load(
    { workspace, number }: RolloutAddress,
    release: string,
    members: ReadonlySet<string> | undefined,
    awayFrom: number,
  ): Promise<LoadedDevice[]> {
    const rows = await this.db
      .selectFrom('rolloutDevices as r')
      .innerJoin('devices as d', (join) =>
        join.onRef('d.workspace', '=', 'r.workspace').onRef('d.name', '=', 'r.device'),
      )
      .select(['r.device', 'r.wave', 'r.standing', 'r.attempts', 'r.generation', 'r.askedRelease'])
      .select(['r.assignedAt', 'r.retryAt', 'r.endedAt', 'r.reasonJson'])
      .select(['d.online', 'd.presenceAt', 'd.retiredAt'])
      .select(['d.desiredGeneration', 'd.desiredRelease', 'd.convergedGeneration'])
      // The whole report is large, and only asked for where something is under way.
      .select(
        sql<
          string | null
        >`case when r.generation is not null and (r.standing in ('changing', 'returning', 'unreachable')
          or d.convergedGeneration <> d.desiredGeneration) then d.reportedJson end`.as('reportedJson'),
      )
      .select(sql<string | null>`json_extract(d.reportedJson, '$.capabilities.timeZone')`.as('timeZone'))
      .select(sql<string | null>`json_extract(d.reportedJson, '$.prefetched')`.as('prefetched'))
      .select(sql<string | null>`case when r.standing = 'returning' then r.previousJson end`.as('returnsTo'))
      .where('r.workspace', '=', workspace)
      .where('r.rollout', '=', number)
      .execute();
    const released = await this.digestsOf(workspace, release);
    const stale = await devicesWithStaleLayers(this.db, workspace);
    const fetched = await new PrefetchRepository(this.db).asked(workspace, number);
    return rows.map((row) => {
      const { device, wave, standing, attempts, generation, desiredGeneration, reasonJson, reportedJson } = row;
      const twin = {
        ...{ desiredGeneration, desiredRelease: row.desiredRelease, convergedGeneration: row.convergedGeneration },
        retired: row.retiredAt !== null,
        layersStale: stale.has(device),
        reported: reportedJson === null ? undefined : reportedStateSchema.parse(JSON.parse(reportedJson)),
      };
      const digests = row.returnsTo === null ? released : digestsIn(row.returnsTo);
      const asked = generation === null ? { release, digests } : { release: row.askedRelease, generation, digests };
      return {
        ...{ device, wave, standing, attempts, desiredGeneration, touched: generation !== null },
        ...optional({ assignedAt: row.assignedAt, retryAt: row.retryAt, endedAt: row.endedAt }),
        ...(reasonJson === null ? {} : { reason: JSON.parse(reasonJson) as Problem }),
        online: row.online === 1,
        offlineSince: Math.max(awayFrom, row.presenceAt === null ? 0 : Date.parse(row.presenceAt)),
        member: members?.has(device) ?? true,
        observed: observe(twin, asked),
        ...(row.timeZone === null ? {} : { timeZone: row.timeZone }),
        ...prefetchOf(fetched.get(device), row.prefetched),
      };
    });
  }

  /** Devices that a rollout holds, of every rollout but one. */
  async claims(workspace: string, except?: number): Promise<Claim[]> {
    const query = this.db
      .selectFrom('rolloutDevices')
      .select(['device', 'rollout', 'standing', 'previousJson'])
      .where('workspace', '=', workspace)
      .where('claimed', '=', 1)
      .orderBy('device');
    return (except === undefined ? query : query.where('rollout', '!=', except)).execute();
  }

  async names(address: RolloutAddress): Promise<string[]> {
    const rows = await this.namesOf(address).execute();
    return rows.map(({ device }) => device);
  }

  /** Those that it has asked for something. */
  async touched(address: RolloutAddress): Promise<string[]> {
    const rows = await this.namesOf(address).where('generation', 'is not', null).orderBy('device').execute();
    return rows.map(({ device }) => device);
  }

  private namesOf({ workspace, number }: RolloutAddress) {
    return this.db
      .selectFrom('rolloutDevices')
      .select('device')
      .where('workspace', '=', workspace)
      .where('rollout', '=', number);
  }

  async insert({ workspace, number }: RolloutAddress, devices: readonly NewRolloutDevice[]): Promise<void> {
    for (let from = 0; from < devices.length; from += insertedAtOnce) {
      const rows = devices.slice(from, from + insertedAtOnce).map(({ device, wave, previousJson = null }) => ({
        ...{ workspace, rollout: number, device, wave, standing: 'queued' as const, attempts: 0, generation: null },
        ...{ askedRelease: '', assignedAt: null, retryAt: null, endedAt: null, reasonJson: null, previousJson },
        claimed: 1,
      }));
      await this.db.insertInto('rolloutDevices').values(rows).execute();
    }
  }

  async judge(address: RolloutAddress, { device, standing, retryAt, endedAt, reason }: Outcome): Promise<void> {
    await this.set(address, device, {
      ...{ standing, retryAt: retryAt ?? null, endedAt: endedAt ?? null },
      reasonJson: reason === undefined ? null : JSON.stringify(reason),
    });
  }

  async assigned(
    address: RolloutAddress,
    outcome: Outcome & { readonly attempts: number; readonly assignedAt: number },
    asked: { readonly generation: number; readonly askedRelease: string; readonly previousJson: string },
  ): Promise<void> {
    const { device, standing, attempts, assignedAt } = outcome;
    const cleared = { retryAt: null, endedAt: null, reasonJson: null };
    await this.set(address, device, { standing, attempts, assignedAt, ...cleared, ...asked });
  }

  /** By device, of those that were asked something. */
  async previousOf({ workspace, number }: RolloutAddress, devices: readonly string[]): Promise<Map<string, string>> {
    const rows = await this.db
      .selectFrom('rolloutDevices')
      .select(['device', 'previousJson'])
      .where('workspace', '=', workspace)
      .where('rollout', '=', number)
      .where('device', 'in', [...devices])
      .execute();
    return new Map(rows.flatMap(({ device, previousJson }) => (previousJson === null ? [] : [[device, previousJson]])));
  }

  /** Other rollouts may have its devices; or, to roll it back, none may. */
  async claim({ workspace, number }: RolloutAddress, claimed: boolean, only?: readonly string[]): Promise<void> {
    const query = this.db
      .updateTable('rolloutDevices')
      .set({ claimed: claimed ? 1 : 0 })
      .where('workspace', '=', workspace)
      .where('rollout', '=', number);
    if (only === undefined) await query.execute();
    for (let from = 0; only !== undefined && from < only.length; from += insertedAtOnce) {
      await query.where('device', 'in', only.slice(from, from + insertedAtOnce)).execute();
    }
  }

  /** Of a rollout that another one supersedes. */
  async supersede({ workspace, number }: RolloutAddress, at: number): Promise<void> {
    for (const [from, to] of [
      [['queued'], 'cancelled'],
      [['changing', 'returning'], 'overtaken'],
    ] as const) {
      await this.db
        .updateTable('rolloutDevices')
        .set({ standing: to, endedAt: at })
        .where('workspace', '=', workspace)
        .where('rollout', '=', number)
        .where('standing', 'in', [...from])
        .execute();
    }
    await this.claim({ workspace, number }, false);
  }

  /** How many of each wave stand how. */
  async counts(addresses: readonly RolloutAddress[]): Promise<(RolloutAddress & WaveCount)[]> {
    const counted: (RolloutAddress & WaveCount)[] = [];
    for (const { workspace, number } of addresses) {
      const rows = await this.db
        .selectFrom('rolloutDevices')
        .select((query) => ['wave', 'standing', query.fn.countAll<number>().as('count')])
        .where('workspace', '=', workspace)
        .where('rollout', '=', number)
        .groupBy(['wave', 'standing'])
        // As the index has it.
        .orderBy('wave')
        .orderBy('standing')
        .execute();
      counted.push(...rows.map((row) => ({ workspace, number, ...row })));
    }
    return counted;
  }

  /** Of the release, and of what goes over it. */
  private async digestsOf(workspace: string, release: string): Promise<ReadonlySet<string>> {
    const { name = '', version = 0 } = parseReference(release) ?? {};
    const rows = await this.db
      .selectFrom('releaseModules')
      .select('imageDigest')
      .where('workspace', '=', workspace)
      .where('name', '=', name)
      .where('version', '=', version)
      .execute();
    return new Set([...rows.map(({ imageDigest }) => imageDigest), ...(await layerDigests(this.db, workspace))]);
  }

  private async set(
    { workspace, number }: RolloutAddress,
    device: string,
    change: Partial<Omit<RolloutDeviceTable, 'workspace' | 'rollout' | 'device'>>,
  ): Promise<void> {
    await this.db
      .updateTable('rolloutDevices')
      .set(change)
      .where('workspace', '=', workspace)
      .where('rollout', '=', number)
      .where('device', '=', device)
      .execute();
  }
}

export interface WaveCount {
  readonly wave: number;
  readonly standing: Standing;
  readonly count: number;
}

/** @param reported digests that the device says it holds, as JSON */
function prefetchOf(asked: readonly string[] | undefined, reported: string | null): Pick<RolloutDevice, 'prefetch'> {
  if (asked === undefined) return {};
  const held = new Set(reported === null ? [] : (JSON.parse(reported) as string[]));
  return { prefetch: asked.every((digest) => held.has(digest)) ? 'held' : 'asked' };
}

function digestsIn(previousJson: string): ReadonlySet<string> {
  return new Set((JSON.parse(previousJson) as Previous).modules.map(({ image }) => image.digest));
}

function optional<T extends Record<string, number | null>>(values: T): { [K in keyof T]?: number } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null)) as {
    [K in keyof T]?: number;
  };
}
