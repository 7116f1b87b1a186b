import type { ControlStore } from './control-database.js';
import type { WorkspaceTable } from './tables.js';

/** What still belongs to a workspace, by kind. */
export interface WorkspaceContents {
  readonly models: number;
  readonly images: number;
  readonly devices: number;
  readonly endpoints: number;
}

export class WorkspaceRepository {
  constructor(private readonly db: ControlStore) {}

  async list(): Promise<readonly WorkspaceTable[]> {
    return this.db.selectFrom('workspaces').selectAll().orderBy('name').execute();
  }

  async exists(name: string): Promise<boolean> {
    const row = await this.db.selectFrom('workspaces').select('name').where('name', '=', name).executeTakeFirst();
    return row !== undefined;
  }

  /** False when there is one of this name. */
  async insert(workspace: WorkspaceTable): Promise<boolean> {
    const result = await this.db
      .insertInto('workspaces')
      .values(workspace)
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    return result.numInsertedOrUpdatedRows === 1n;
  }

  /**
   * Removes a workspace that holds nothing, with what is left of things deleted earlier.
   * What it still holds is counted in the transaction that removes.
   */
  async removeEmpty(name: string): Promise<'removed' | 'absent' | WorkspaceContents> {
    return this.db.transaction().execute(async (db) => {
      const row = await db.selectFrom('workspaces').select('name').where('name', '=', name).executeTakeFirst();
      if (row === undefined) return 'absent';
      const count = (table: 'models' | 'images' | 'endpoints'): Promise<{ count: number }> =>
        db
          .selectFrom(table)
          .select((query) => query.fn.countAll<number>().as('count'))
          .where('workspace', '=', name)
          .where('deletedAt', 'is', null)
          .executeTakeFirstOrThrow();
      const devices = await db
        .selectFrom('devices')
        .select((query) => query.fn.countAll<number>().as('count'))
        .where('workspace', '=', name)
        .where('retiredAt', 'is', null)
        .executeTakeFirstOrThrow();
      const contents = {
        models: (await count('models')).count,
        images: (await count('images')).count,
        devices: devices.count,
        endpoints: (await count('endpoints')).count,
      };
      if (Object.values(contents).some((held) => held > 0)) return contents;

      await db
        .deleteFrom('activityLog')
        .where('activity', 'in', db.selectFrom('activities').select('id').where('workspace', '=', name))
        .execute();
      // In the order that foreign keys ask for: what refers to a row goes before the row.
      for (const table of dependents) await db.deleteFrom(table).where('workspace', '=', name).execute();
      await db.deleteFrom('workspaces').where('name', '=', name).execute();
      return 'removed';
    });
  }
}

export const dependents = [
  'commandJobDevices',
  'commandJobs',
  'schedules',
  'rolloutGates',
  'rolloutHistory',
  'rolloutDevices',
  'rollouts',
  'freezes',
  'alertStates',
  'alertRules',
  'alertOutbox',
  'alertCursors',
  'fleets',
  'deviceLayers',
  'deviceBases',
  'layers',
  'layerVersions',
  'releaseModules',
  'releases',
  'deviceFacts',
  'activities',
  'modelFiles',
  'models',
  'imageBlobs',
  'images',
  'blobs',
  'enrolmentTokens',
  'claimRequests',
  'claimHardware',
  'fleetClaims',
  'shadows',
  'deviceCollections',
  'storageFiles',
  'storageMarks',
  'shiftGates',
  'shiftHistory',
  'shifts',
  'deployments',
  'endpoints',
  'deviceCertificates',
  'devices',
  'outbox',
  'tokens',
  'trustVersions',
] as const;
