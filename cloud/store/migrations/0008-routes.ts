import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** What a deployment says of its module's routes. Those from before left them as their images have them. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table deployments add column routesJson text not null default '{}'`.execute(db);
}
