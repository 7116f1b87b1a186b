import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/**
 * Minutes and hours of what is counted, beside the batches as they came. Events get numbers that are never given
 * twice: who has seen all up to one asks for what came after it, whatever was removed meanwhile.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`alter table moduleMetrics add column detailJson text`,
    sql`create table moduleRollups (
      workspace text not null, resolution integer not null, startAt integer not null, device text not null,
      module text not null, version integer not null, digest text not null, provider text not null,
      requests integer not null, errorsJson text not null, latencyJson text not null, detailJson text,
      primary key (workspace, resolution, startAt, device, module, version, digest, provider))`,
    sql`create index moduleRollupsByDevice on moduleRollups (workspace, device, resolution, startAt)`,
    sql`create index moduleRollupsByTime on moduleRollups (resolution, startAt)`,
    sql`create table systemRollups (
      workspace text not null, resolution integer not null, startAt integer not null, device text not null,
      readings integer not null, gaugesJson text not null, lastJson text not null,
      primary key (workspace, resolution, startAt, device))`,
    sql`create index systemRollupsByDevice on systemRollups (workspace, device, resolution, startAt)`,
    sql`create index systemRollupsByTime on systemRollups (resolution, startAt)`,
    sql`create table telemetryCursors (name text primary key, value integer not null)`,
    sql`create table numberedEvents (
      id integer primary key autoincrement, workspace text not null, device text not null, receivedAt integer not null,
      at text not null, bootId integer not null, sequence integer not null, position integer not null,
      level text not null, type text not null, module text, message text not null, detailsJson text)`,
    sql`insert into numberedEvents select rowid, * from deviceEvents order by rowid`,
    sql`drop table deviceEvents`,
    sql`alter table numberedEvents rename to deviceEvents`,
    sql`create index deviceEventsByDevice on deviceEvents (workspace, device, receivedAt)`,
  ];
  for (const statement of statements) await statement.execute(db);
}
