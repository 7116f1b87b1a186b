import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/**
 * Releases say routes and a start order; images may be indexes of variants. What is there already says none of it.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`alter table releaseModules add column routesJson text not null default '{}'`,
    sql`alter table releaseModules add column startAfterJson text not null default '[]'`,
    sql`alter table deployments add column startAfterJson text not null default '[]'`,
    // The images that an index chooses among, in its order; names are those that their publisher signed.
    sql`create table imageVariants (
      workspace text not null, indexDigest text not null, position integer not null, digest text not null,
      accelerator text not null, precision text not null, providersJson text not null,
      primary key (workspace, indexDigest, position)) without rowid`,
    sql`create index imageVariantsByDigest on imageVariants (workspace, digest)`,
  ];
  for (const statement of statements) await statement.execute(db);
}
