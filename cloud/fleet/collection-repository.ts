/** What devices are to collect, by module: it stays whatever version of the module comes. */
import { type CollectRule, collectRuleSchema } from '#shared/protocol/collect.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { DeviceCollectionTable } from '#cloud/store/storage-tables.js';
import type { Database } from './device-repository.js';

export class CollectionRepository {
  constructor(private readonly db: Database) {}

  /** By device, then by module. */
  async list(workspace: string, devices: readonly string[]): Promise<Map<string, Map<string, CollectRule>>> {
    const rows = await this.db
      .selectFrom('deviceCollections')
      .select(['device', 'module', 'ruleJson'])
      .where('workspace', '=', workspace)
      .where('device', 'in', [...devices])
      .execute();
    const found = new Map<string, Map<string, CollectRule>>();
    for (const { device, module, ruleJson } of rows) {
      const rule = collectRuleSchema.parse(JSON.parse(ruleJson));
      found.set(device, (found.get(device) ?? new Map<string, CollectRule>()).set(module, rule));
    }
    return found;
  }

  async of({ workspace, device }: DeviceAddress, module: string): Promise<CollectRule | undefined> {
    return (await this.list(workspace, [device])).get(device)?.get(module);
  }

  /** In place of what the module had. */
  async put(collection: DeviceCollectionTable): Promise<void> {
    await this.end(collection, collection.module);
    await this.db.insertInto('deviceCollections').values(collection).execute();
  }

  /** @returns how many ended: of one module, or of all of the device */
  async end({ workspace, device }: DeviceAddress, module?: string): Promise<number> {
    const query = this.db
      .deleteFrom('deviceCollections')
      .where('workspace', '=', workspace)
      .where('device', '=', device);
    const result = await (module === undefined ? query : query.where('module', '=', module)).executeTakeFirst();
    return Number(result.numDeletedRows);
  }
}
