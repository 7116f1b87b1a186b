import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** One command to many devices. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    // nonce: the ids of its commands come from it, so that a number that a restored backup gives anew repeats none.
    sql`create table commandJobs (
      workspace text not null references workspaces(name), number integer not null,
      operation text not null, argumentsJson text not null, fleet text, query text not null,
      concurrency integer not null, timeoutMs integer not null, deadlineAt integer not null, nonce text not null,
      state text not null, devices integer not null, answerBytes integer not null, schedule text,
      createdAt text not null, createdBy text not null, endedAt text,
      primary key (workspace, number))`,
    sql`create index commandJobsUnderWay on commandJobs (workspace, number) where endedAt is null`,
    sql`create index commandJobsEnded on commandJobs (endedAt) where endedAt is not null`,
    sql`create table commandJobDevices (
      workspace text not null, job integer not null, device text not null, standing text not null,
      sentAt integer, timeoutAt integer, endedAt integer, answerJson text, problemJson text,
      primary key (workspace, job, device),
      foreign key (workspace, job) references commandJobs(workspace, number)) without rowid`,
    sql`create index commandJobStandings on commandJobDevices (workspace, job, standing, device)`,
    sql`create index commandsUnderWay on commandJobDevices (workspace, device)
      where standing in ('waiting', 'sent')`,
    // General: what a schedule does when its time has come is for its kind to know.
    sql`create table schedules (
      workspace text not null references workspaces(name), name text not null, kind text not null,
      whenJson text not null, actionJson text not null, nextAt integer,
      lastAt integer, lastJson text, createdAt text not null, createdBy text not null,
      primary key (workspace, name))`,
    sql`create index schedulesDue on schedules (nextAt) where nextAt is not null`,
  ];
  for (const statement of statements) await statement.execute(db);
}
