import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** Releases go over fleets in waves. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    // stateJson: a Rollout of cloud/rollout/rollout-model.ts; revision: for compare-and-set.
    sql`create table rollouts (
      workspace text not null references workspaces(name), number integer not null,
      release text not null, fleet text not null, queryJson text not null, policyJson text not null,
      state text not null, stateJson text not null, revision integer not null,
      createdAt text not null, createdBy text not null, updatedAt text not null, endedAt text,
      primary key (workspace, number))`,
    sql`create index rolloutsUnderWay on rollouts (workspace, number) where endedAt is null`,
    sql`create table rolloutDevices (
      workspace text not null, rollout integer not null, device text not null, wave integer not null,
      standing text not null, attempts integer not null, generation integer, askedRelease text not null,
      assignedAt integer, retryAt integer, endedAt integer, reasonJson text,
      previousJson text, claimed integer not null,
      primary key (workspace, rollout, device),
      foreign key (workspace, rollout) references rollouts(workspace, number)) without rowid`,
    // A device is in one rollout at a time, whatever the program thinks.
    sql`create unique index rolloutClaims on rolloutDevices (workspace, device) where claimed = 1`,
    sql`create table rolloutHistory (
      id integer primary key, workspace text not null, rollout integer not null, at text not null,
      kind text not null, device text, text text not null,
      foreign key (workspace, rollout) references rollouts(workspace, number))`,
    sql`create index rolloutHistoryByRollout on rolloutHistory (workspace, rollout, id)`,
  ];
  for (const statement of statements) await statement.execute(db);
}
