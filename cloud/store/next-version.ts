import type { ControlTransaction } from './control-database.js';

/** Counts deleted versions too: no number of a name is ever given twice. */
export async function nextVersion(
  db: ControlTransaction,
  table: 'images' | 'models' | 'releases',
  workspace: string,
  name: string,
): Promise<number> {
  const row = await db
    .selectFrom(table)
    .select((query) => query.fn.max('version').as('last'))
    .where('workspace', '=', workspace)
    .where('name', '=', name)
    .executeTakeFirst();
  return (row?.last ?? 0) + 1;
}
