import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** The workspace's storage: which files there are, how much of each is there, and what was taken already. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`create table storageFiles (
      workspace text not null references workspaces(name), path text not null, hour integer not null,
      bytes integer not null, createdAt text not null, updatedAt text not null,
      primary key (workspace, path)) without rowid`,
    sql`create index storageByHour on storageFiles (workspace, hour, path)`,
    sql`create table storageMarks (
      workspace text not null references workspaces(name), source text not null, upTo integer not null,
      updatedAt text not null,
      primary key (workspace, source)) without rowid`,
    // What devices are to collect of a module, whatever version of it they run.
    sql`create table deviceCollections (
      workspace text not null, device text not null, module text not null, ruleJson text not null,
      generation integer not null, createdAt text not null,
      primary key (workspace, device, module),
      foreign key (workspace, device) references devices(workspace, name)) without rowid`,
  ];
  for (const statement of statements) await statement.execute(db);
}
