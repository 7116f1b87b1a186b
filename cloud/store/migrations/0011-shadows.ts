import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** Versions that are to get copies of what modules are asked; where a rollout asks for them, with its number. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`create table shadows (
      workspace text not null, device text not null, module text not null, imageDigest text not null,
      settingsJson text not null, ruleJson text not null, rollout integer, generation integer not null,
      createdAt text not null,
      primary key (workspace, device, module),
      foreign key (workspace, device) references devices(workspace, name)) without rowid`,
    sql`create index shadowsByImage on shadows (workspace, imageDigest)`,
    sql`create index shadowsByRollout on shadows (workspace, rollout) where rollout is not null`,
    sql`alter table rolloutDevices add column shadowedAt integer`,
  ];
  for (const statement of statements) await statement.execute(db);
}
