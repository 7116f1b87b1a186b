/** What a rollout would be, for a dry run: waves with their devices, and bytes as far as they are known. */
import type { Database } from '#cloud/fleet/device-repository.js';
import { devicesWithout, featuresOf } from '#cloud/fleet/agent-features.js';
import type { Fleet } from '#cloud/fleet/fleet-repository.js';
import { devicesWithStaleLayers } from '#cloud/fleet/layers/stale-devices.js';
import { parseReference } from '#shared/kernel/names.js';
import type { RolloutPlanned } from '#cloud/http/schemas/rollouts.js';
import { expectedTime, leftOut, median } from './expected-time.js';
import { type RolloutPolicy, unavailableBudget } from './policy.js';
import type { RolloutOffice } from './rollout-office.js';

const shownDevices = 100;
const measuredDevices = 1000;
/** Where no device has succeeded yet. */
const assumedSeconds = 60;

export class RolloutDrafts {
  constructor(
    private readonly db: Database,
    private readonly office: RolloutOffice,
  ) {}

  async describe(workspace: string, release: string, fleet: Fleet, policy: RolloutPolicy): Promise<RolloutPlanned> {
    const { waves, claims } = await this.office.draft(workspace, fleet, policy);
    const total = waves.reduce((sum, wave) => sum + wave.length, 0);
    const already = await this.alreadyThere(workspace, release);
    const conflicts = new Map<number, number>();
    const changing = waves.map((devices) => devices.filter((device) => !already.has(device)).length);
    const bytesPerDevice = await this.bytesOf(workspace, release);
    const took = await this.tookBefore(workspace, fleet.name);
    for (const { rollout } of claims) conflicts.set(rollout, (conflicts.get(rollout) ?? 0) + 1);
    return {
      ...{ release, fleet: fleet.name, devices: total, maxUnavailable: unavailableBudget(policy, total) },
      bytesPerDevice,
      bytesAtMost: bytesPerDevice * changing.reduce((sum, count) => sum + count, 0),
      expected: {
        ...expectedTime(changing, policy, took.seconds ?? assumedSeconds),
        measuredDevices: took.devices,
        leftOut: leftOut(policy),
      },
      waves: waves.map((devices, index) => ({
        ...{ wave: index + 1, count: devices.length, devices: devices.slice(0, shownDevices) },
        already: devices.filter((device) => already.has(device)).length,
        bakeSeconds: policy.waves[index]?.bakeSeconds ?? 0,
        approval: policy.waves[index]?.approval ?? false,
      })),
      conflicts: [...conflicts].map(([rollout, devices]) => ({ rollout, devices })),
      unsupported: await this.unsupported(workspace, release, new Set(waves.flat())),
    };
  }

  /** What devices took that succeeded last: those of this fleet, or else of any. */
  private async tookBefore(
    workspace: string,
    fleet: string,
  ): Promise<{ readonly seconds: number | undefined; readonly devices: number }> {
    const rows = await this.db
      .selectFrom('rolloutDevices as r')
      .innerJoin('rollouts as o', (join) =>
        join.onRef('o.workspace', '=', 'r.workspace').onRef('o.number', '=', 'r.rollout'),
      )
      .select(['o.fleet', 'r.assignedAt', 'r.endedAt'])
      .where('r.workspace', '=', workspace)
      .where('r.standing', '=', 'succeeded')
      .where('r.assignedAt', 'is not', null)
      .orderBy('r.endedAt', 'desc')
      .limit(measuredDevices)
      .execute();
    const own = rows.filter((row) => row.fleet === fleet);
    const counted = (own.length > 0 ? own : rows).map(({ assignedAt, endedAt }) => (endedAt ?? 0) - (assignedAt ?? 0));
    const ms = median(counted);
    return { seconds: ms === undefined ? undefined : Math.max(1, Math.ceil(ms / 1000)), devices: counted.length };
  }

  private async unsupported(
    workspace: string,
    release: string,
    members: ReadonlySet<string>,
  ): Promise<RolloutPlanned['unsupported']> {
    const found: RolloutPlanned['unsupported'] = [];
    for (const feature of await featuresOf(this.db, workspace, release)) {
      const names = await devicesWithout(this.db, workspace, feature);
      const devices = names.filter((name) => members.has(name));
      if (devices.length > 0) found.push({ feature, count: devices.length, devices: devices.slice(0, shownDevices) });
    }
    return found;
  }

  private async alreadyThere(workspace: string, release: string): Promise<ReadonlySet<string>> {
    const rows = await this.db
      .selectFrom('devices')
      .select('name')
      .where('workspace', '=', workspace)
      .where('retiredAt', 'is', null)
      .where('desiredRelease', '=', release)
      .whereRef('convergedGeneration', '=', 'desiredGeneration')
      .execute();
    const stale = await devicesWithStaleLayers(this.db, workspace);
    return new Set(rows.map(({ name }) => name).filter((name) => !stale.has(name)));
  }

  /** Each image once, however many modules are made of it. */
  private async bytesOf(workspace: string, release: string): Promise<number> {
    const { name = '', version = 0 } = parseReference(release) ?? {};
    const digests = this.db
      .selectFrom('releaseModules')
      .select('imageDigest')
      .distinct()
      .where('workspace', '=', workspace)
      .where('name', '=', name)
      .where('version', '=', version);
    const { bytes } = await this.db
      .selectFrom('images')
      .select((query) => query.fn.coalesce(query.fn.sum<number>('size'), query.lit(0)).as('bytes'))
      .where('workspace', '=', workspace)
      .where('digest', 'in', digests)
      .executeTakeFirstOrThrow();
    return Number(bytes);
  }
}
