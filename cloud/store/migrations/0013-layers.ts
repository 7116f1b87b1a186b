import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/**
 * Releases say routes and a start order; images may be indexes of variants; layers lie over what devices have. What is
 * there already says none of it.
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
    sql`create table layers (
      workspace text not null references workspaces(name), name text not null, revision integer not null,
      description text not null, priority integer not null, queryText text not null, queryJson text not null,
      modulesJson text not null, staged integer not null, maxDevices integer not null,
      createdAt text not null, updatedAt text not null, endedAt text,
      primary key (workspace, name))`,
    // Where layers lie over a device: what lies below them, and what they said when it was put together.
    sql`create table deviceBases (
      workspace text not null, device text not null, baseJson text not null, layersJson text not null,
      primary key (workspace, device),
      foreign key (workspace, device) references devices(workspace, name) on delete cascade) without rowid`,
  ];
  for (const statement of statements) await statement.execute(db);
}
