/** What a rollout would be, for a dry run: waves with their devices, and bytes as far as they are known. */
import type { Database } from '#cloud/fleet/device-repository.js';
import type { Fleet } from '#cloud/fleet/fleet-repository.js';
import { parseReference } from '#shared/kernel/names.js';
import type { RolloutPlanned } from '#cloud/http/schemas/rollouts.js';
import { type RolloutPolicy, unavailableBudget } from './policy.js';
import type { RolloutOffice } from './rollout-office.js';

const shownDevices = 100;

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
    for (const { rollout } of claims) conflicts.set(rollout, (conflicts.get(rollout) ?? 0) + 1);
    return {
      ...{ release, fleet: fleet.name, devices: total, maxUnavailable: unavailableBudget(policy, total) },
      bytesPerDevice: await this.bytesOf(workspace, release),
      waves: waves.map((devices, index) => ({
        ...{ wave: index + 1, count: devices.length, devices: devices.slice(0, shownDevices) },
        already: devices.filter((device) => already.has(device)).length,
        bakeSeconds: policy.waves[index]?.bakeSeconds ?? 0,
        approval: policy.waves[index]?.approval ?? false,
      })),
      conflicts: [...conflicts].map(([rollout, devices]) => ({ rollout, devices })),
    };
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
    return new Set(rows.map(({ name }) => name));
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
