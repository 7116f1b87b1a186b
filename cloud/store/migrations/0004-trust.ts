import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** Every version of each workspace's trust document: a device that was away walks all of them. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create table trustVersions (
    workspace text not null references workspaces(name), version integer not null,
    envelope text not null, publishedAt text not null,
    primary key (workspace, version))`.execute(db);
}
