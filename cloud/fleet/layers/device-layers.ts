/** What lies below the layers of a device, and which it has. A device without layers has no rows here. */
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { Database } from '../device-repository.js';
import type { ReleasedModule } from '../release-plan.js';
import type { LayerRef } from './take.js';

export interface Beneath {
  readonly base: readonly ReleasedModule[];
  /** By name. */
  readonly layers: readonly LayerRef[];
  /** Of the rollout that brought it: in the place of those that each module says, layers included. */
  readonly windows?: ReleasedModule['update']['windows'];
}

export class DeviceLayers {
  constructor(private readonly db: Database) {}

  async of({ workspace, device }: DeviceAddress): Promise<Beneath | undefined> {
    const row = await this.db
      .selectFrom('deviceBases')
      .select(['modulesJson', 'windowsJson'])
      .where((where) => where.and({ workspace, device }))
      .executeTakeFirst();
    if (row === undefined) return undefined;
    const layers = await this.db
      .selectFrom('deviceLayers')
      .select(['layer as name', 'version'])
      .where((where) => where.and({ workspace, device }))
      .orderBy('layer')
      .execute();
    return {
      ...{ base: JSON.parse(row.modulesJson) as ReleasedModule[], layers },
      ...(row.windowsJson === null ? {} : { windows: JSON.parse(row.windowsJson) as Beneath['windows'] }),
    };
  }

  async set({ workspace, device }: DeviceAddress, { base, layers, windows }: Beneath): Promise<void> {
    for (const table of ['deviceLayers', 'deviceBases'] as const) {
      await this.db.deleteFrom(table).where('workspace', '=', workspace).where('device', '=', device).execute();
    }
    if (layers.length === 0) return;
    await this.db
      .insertInto('deviceBases')
      .values({
        ...{ workspace, device, modulesJson: JSON.stringify(base) },
        windowsJson: windows === undefined ? null : JSON.stringify(windows),
      })
      .execute();
    await this.db
      .insertInto('deviceLayers')
      .values(layers.map(({ name, version }) => ({ workspace, device, layer: name, version })))
      .execute();
  }

  /** The devices that have a layer, with its version. */
  async holders(workspace: string, layer: string): Promise<Map<string, number>> {
    const rows = await this.db
      .selectFrom('deviceLayers')
      .select(['device', 'version'])
      .where((where) => where.and({ workspace, layer }))
      .execute();
    return new Map(rows.map(({ device, version }) => [device, version]));
  }

  /** Of every device that has any. */
  async all(workspace: string): Promise<Map<string, LayerRef[]>> {
    const rows = await this.db
      .selectFrom('deviceLayers')
      .select(['device', 'layer', 'version'])
      .where('workspace', '=', workspace)
      .execute();
    const found = new Map<string, LayerRef[]>();
    for (const { device, layer, version } of rows) {
      const refs = found.get(device);
      if (refs === undefined) found.set(device, [{ name: layer, version }]);
      else refs.push({ name: layer, version });
    }
    return found;
  }
}
