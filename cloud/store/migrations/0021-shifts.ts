import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** Traffic of an endpoint goes over to another deployment in steps. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    // stateJson: a Shift of cloud/services/shift/shift-model.ts; revision: for compare-and-set.
    sql`create table shifts (
      workspace text not null, endpoint text not null references endpoints(id), number integer not null,
      target text not null, policyJson text not null, state text not null, stateJson text not null,
      revision integer not null, createdAt text not null, createdBy text not null, updatedAt text not null,
      endedAt text,
      primary key (endpoint, number))`,
    // An endpoint is in one shift at a time, whatever the program thinks.
    sql`create unique index openShifts on shifts (endpoint) where endedAt is null`,
    sql`create table shiftHistory (
      id integer primary key, workspace text not null, endpoint text not null, shift integer not null,
      at text not null, kind text not null, text text not null,
      foreign key (endpoint, shift) references shifts(endpoint, number))`,
    sql`create index shiftHistoryByShift on shiftHistory (endpoint, shift, id)`,
    // verdictJson: a GateVerdict of cloud/rollout/gates/gate-model.ts.
    sql`create table shiftGates (
      workspace text not null, endpoint text not null, shift integer not null, stage integer not null,
      gate text not null, module text not null, at text not null, verdictJson text not null,
      primary key (endpoint, shift, stage, gate, module),
      foreign key (endpoint, shift) references shifts(endpoint, number)) without rowid`,
  ];
  for (const statement of statements) await statement.execute(db);
}
