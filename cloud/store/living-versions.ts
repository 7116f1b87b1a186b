import type { ControlStore } from './control-database.js';

/** Versions of a name that are not deleted, ascending; for messages. */
export async function livingVersions(
  db: ControlStore,
  table: 'models' | 'releases',
  workspace: string,
  name: string,
): Promise<number[]> {
  const rows = await db
    .selectFrom(table)
    .select('version')
    .where('workspace', '=', workspace)
    .where('name', '=', name)
    .where('deletedAt', 'is', null)
    .orderBy('version')
    .execute();
  return rows.map(({ version }) => version);
}
