import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** When rollouts may not, and when they should: freeze periods, schedules; and images that devices hold beforehand. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    // whereText, queryJson: which devices; empty and null: all.
    sql`create table freezes (
      workspace text not null references workspaces(name), name text not null,
      startsAt integer not null, endsAt integer not null, whereText text not null, queryJson text,
      reason text not null, createdAt text not null, createdBy text not null,
      primary key (workspace, name))`,
    // orderJson: what is started, a ScheduledOrder of cloud/rollout/schedule-repository.ts.
    sql`create table rolloutSchedules (
      workspace text not null references workspaces(name), number integer not null,
      orderJson text not null, cron text, timeZone text, nextAt integer, lateSeconds integer not null,
      state text not null, lastAt integer, lastRollout integer, lastText text not null,
      createdAt text not null, createdBy text not null,
      primary key (workspace, number))`,
    sql`create index rolloutSchedulesDue on rolloutSchedules (nextAt) where nextAt is not null`,
    sql`create table rolloutPrefetches (
      workspace text not null, rollout integer not null, device text not null, digest text not null,
      primary key (workspace, device, digest, rollout)) without rowid`,
    sql`create index rolloutPrefetchesByRollout on rolloutPrefetches (workspace, rollout, device)`,
  ];
  for (const statement of statements) await statement.execute(db);
}
