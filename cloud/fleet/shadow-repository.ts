/** Shadows of deployed modules: at most one a module, and only as long as it is to be there. */
import type { Insertable } from 'kysely';
import { settingsSchema } from '#shared/protocol/desired.js';
import { shadowRuleSchema } from '#shared/protocol/shadow.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { ShadowTable } from '#cloud/store/shadow-tables.js';
import type { DeployedShadow } from './desired-document.js';
import type { Database } from './device-repository.js';

export class ShadowRepository {
  constructor(private readonly db: Database) {}

  /** By device, then by module. */
  async list(workspace: string, devices: readonly string[]): Promise<Map<string, Map<string, DeployedShadow>>> {
    const rows = await this.db
      .selectFrom('shadows')
      .innerJoin('images', (join) =>
        join.onRef('images.workspace', '=', 'shadows.workspace').onRef('images.digest', '=', 'shadows.imageDigest'),
      )
      .select(['shadows.device', 'shadows.module', 'shadows.settingsJson', 'shadows.ruleJson'])
      .select(['images.name', 'images.version', 'images.digest', 'images.manifestSize'])
      .select(['images.signatureDigest', 'images.signatureSize'])
      .where('shadows.workspace', '=', workspace)
      .where('shadows.device', 'in', [...devices])
      .execute();
    const found = new Map<string, Map<string, DeployedShadow>>();
    for (const { device, module, settingsJson, ruleJson, ...image } of rows) {
      const settings = settingsSchema.parse(JSON.parse(settingsJson));
      const shadow = { image, settings, rule: shadowRuleSchema.parse(JSON.parse(ruleJson)) };
      found.set(device, (found.get(device) ?? new Map<string, DeployedShadow>()).set(module, shadow));
    }
    return found;
  }

  /** In place of what the module had. */
  async put(shadow: Insertable<ShadowTable>): Promise<void> {
    await this.end(shadow, shadow.module);
    await this.db.insertInto('shadows').values(shadow).execute();
  }

  /** @returns how many ended: of one module, or of all of the device */
  async end({ workspace, device }: DeviceAddress, module?: string): Promise<number> {
    const query = this.db.deleteFrom('shadows').where('workspace', '=', workspace).where('device', '=', device);
    const result = await (module === undefined ? query : query.where('module', '=', module)).executeTakeFirst();
    return Number(result.numDeletedRows);
  }
}
