/** Which web services run an image, or a model in one: until then neither must go. */
import { type RawBuilder, sql } from 'kysely';
import type { ControlTransaction } from './control-database.js';

/** As endpoint/deployment. @param runs of a row `d` of `deployments`, whether it is meant */
export async function servicesThat(
  db: ControlTransaction,
  workspace: string,
  runs: RawBuilder<boolean>,
): Promise<string[]> {
  const { rows } = await sql<{ service: string }>`
    select e.name || '/' || d.name as service from deployments d join endpoints e on e.id = d.endpoint
    where d.workspace = ${workspace} and d.removedGeneration is null and ${runs}
    order by service`.execute(db);
  return rows.map(({ service }) => service);
}
