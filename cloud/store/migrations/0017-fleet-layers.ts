import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** Layers over what devices run. What devices have already is what it was, with no layer over it. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`create table layers (
      workspace text not null references workspaces (name), name text not null, description text not null,
      version integer not null, staged integer not null, queryText text not null, queryJson text not null,
      createdAt text not null, updatedAt text not null, primary key (workspace, name)) without rowid`,
    sql`create table layerVersions (
      workspace text not null references workspaces (name), name text not null, version integer not null,
      priority integer not null, modulesJson text not null, primary key (workspace, name, version)) without rowid`,
    sql`create trigger layerVersionsImmutable before update on layerVersions
      begin select raise(abort, 'versions of layers are immutable'); end`,
    sql`create table deviceLayers (
      workspace text not null, device text not null, layer text not null, version integer not null,
      primary key (workspace, device, layer)) without rowid`,
    sql`create index deviceLayersByLayer on deviceLayers (workspace, layer)`,
    sql`create table deviceBases (
      workspace text not null, device text not null, modulesJson text not null, windowsJson text,
      primary key (workspace, device)) without rowid`,
  ];
  for (const statement of statements) await statement.execute(db);
}
