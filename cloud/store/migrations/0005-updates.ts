import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** How a deployment takes over from the one before it. Those from before were not watched. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table deployments add column updateJson text not null default '{}'`.execute(db);
}
