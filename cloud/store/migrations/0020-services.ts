import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/**
 * Web services: endpoints, and their deployments in the table that holds those of devices. What devices run stays as it
 * is: the table is made anew only because SQLite cannot let a column become empty otherwise.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const columns = sql.raw(
    'id, workspace, kind, device, module, imageDigest, settingsJson, policyJson, generation, removedGeneration, createdAt, ' +
      'updateJson, routesJson, startAfterJson',
  );
  const statements = [
    sql`create table endpoints (
      id text primary key, workspace text not null references workspaces(name), name text not null,
      authMode text not null, primaryVersion integer not null, secondaryVersion integer not null,
      trafficJson text not null, mirrorJson text, description text not null, tagsJson text not null,
      generation integer not null, createdAt text not null, createdBy text not null, updatedAt text not null,
      deletedAt text)`,
    sql`create unique index livingEndpoints on endpoints (workspace, name) where deletedAt is null`,
    sql`create table deploymentsOfBoth (
      id text primary key, workspace text not null, kind text not null, device text, module text,
      imageDigest text not null, settingsJson text not null, policyJson text not null,
      generation integer not null, removedGeneration integer, createdAt text not null,
      updateJson text not null default '{}', routesJson text not null default '{}',
      startAfterJson text not null default '[]',
      endpoint text references endpoints(id), name text, revision integer not null default 0,
      serviceJson text not null default '{}',
      foreign key (workspace, device) references devices(workspace, name),
      check (case kind when 'iot-module' then device is not null and module is not null and endpoint is null
        else endpoint is not null and name is not null and device is null end))`,
    sql`insert into deploymentsOfBoth (${columns}) select ${columns} from deployments`,
    sql`drop table deployments`,
    sql`alter table deploymentsOfBoth rename to deployments`,
    sql`create unique index currentDeployments on deployments (workspace, device, module) where removedGeneration is null`,
    sql`create index deploymentsByImage on deployments (workspace, imageDigest)`,
    sql`create unique index currentServices on deployments (endpoint, name)
      where endpoint is not null and removedGeneration is null`,
    sql`create index serviceRevisions on deployments (endpoint, name, revision) where endpoint is not null`,
    // One row: the document as it is to be handed over.
    sql`create table services (id integer primary key check (id = 1), generation integer not null, documentJson text not null)`,
    sql`insert into services (id, generation, documentJson) values (1, 0, '')`,
  ];
  for (const statement of statements) await statement.execute(db);
}
