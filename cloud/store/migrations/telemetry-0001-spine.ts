import type { Kysely } from 'kysely';
import { sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`create table streamMarks (
      workspace text not null, device text not null, kind text not null, bootId integer not null,
      upTo integer not null, dropped integer not null default 0,
      primary key (workspace, device, kind, bootId))`,
    sql`create table moduleMetrics (
      workspace text not null, device text not null, receivedAt integer not null, at text not null,
      bootId integer not null, sequence integer not null, module text not null, version integer not null,
      digest text not null, provider text, requests integer not null, errorsJson text not null, latencyJson text not null)`,
    sql`create index moduleMetricsByDevice on moduleMetrics (workspace, device, receivedAt)`,
    sql`create table systemMetrics (
      workspace text not null, device text not null, receivedAt integer not null, at text not null,
      bootId integer not null, sequence integer not null, systemJson text not null)`,
    sql`create index systemMetricsByDevice on systemMetrics (workspace, device, receivedAt)`,
    sql`create table deviceEvents (
      workspace text not null, device text not null, receivedAt integer not null, at text not null,
      bootId integer not null, sequence integer not null, position integer not null,
      level text not null, type text not null, module text, message text not null, detailsJson text)`,
    sql`create index deviceEventsByDevice on deviceEvents (workspace, device, receivedAt)`,
  ];
  for (const statement of statements) await statement.execute(db);
}
