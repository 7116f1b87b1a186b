import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** Devices are found by what is known of them; queries are saved as fleets; modules are released together. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`alter table devices add column convergedGeneration integer not null default -1`,
    sql`alter table devices add column desiredRelease text not null default ''`,
    // A start fills deviceFacts for devices whose version is behind.
    sql`alter table devices add column factsVersion integer not null default 0`,
    sql`create index devicesByFactsVersion on devices (factsVersion)`,
    // Covers what queries ask of the device itself, so that counting touches no row with its documents.
    sql`create index devicesInService on devices
      (workspace, name, online, convergedGeneration, desiredGeneration, desiredRelease) where retiredAt is null`,
    sql`create table deviceFacts (
      workspace text not null, device text not null, name text not null, text text, number real,
      primary key (workspace, device, name),
      foreign key (workspace, device) references devices(workspace, name) on delete cascade) without rowid`,
    sql`create index deviceFactsByText on deviceFacts (workspace, name, text, device)`,
    sql`create index deviceFactsByNumber on deviceFacts (workspace, name, number, device) where number is not null`,
    sql`create table fleets (
      workspace text not null references workspaces(name), name text not null, description text not null,
      queryText text not null, queryJson text not null, createdAt text not null, updatedAt text not null,
      primary key (workspace, name))`,
    sql`create table releases (
      workspace text not null references workspaces(name), name text not null, version integer not null,
      description text not null, atomic integer not null, createdAt text not null, deletedAt text,
      primary key (workspace, name, version))`,
    sql`create index releasesByAge on releases (workspace, createdAt)`,
    sql`create table releaseModules (
      workspace text not null, name text not null, version integer not null, module text not null,
      imageDigest text not null, settingsJson text not null, policyJson text not null, updateJson text not null,
      requiresJson text not null,
      primary key (workspace, name, version, module),
      foreign key (workspace, name, version) references releases(workspace, name, version))`,
    sql`create index releaseModulesByImage on releaseModules (workspace, imageDigest)`,
    // What is released stays what it was.
    sql`create trigger releasesNeverChange before update of workspace, name, version, description, atomic on releases
      begin select raise(abort, 'releases are immutable'); end`,
    sql`create trigger releaseModulesNeverChange before update on releaseModules
      begin select raise(abort, 'releases are immutable'); end`,
  ];
  for (const statement of statements) await statement.execute(db);
}
