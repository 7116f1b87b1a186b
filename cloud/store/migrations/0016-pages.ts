import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** A page of a claim's requests costs the page, also of a million. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`drop index claimRequestsByState`,
    sql`create index claimRequestsByState on claimRequests (workspace, claim, state, requestedAt, id)`,
  ];
  for (const statement of statements) await statement.execute(db);
}
