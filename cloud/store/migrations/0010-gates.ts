import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** What quality gates said when a rollout went on or ended, with the numbers behind it. */
export async function up(db: Kysely<unknown>): Promise<void> {
  // verdictJson: a GateVerdict of cloud/rollout/gates/gate-model.ts.
  await sql`create table rolloutGates (
    workspace text not null, rollout integer not null, wave integer not null, gate text not null, module text not null,
    at text not null, verdictJson text not null,
    primary key (workspace, rollout, wave, gate, module),
    foreign key (workspace, rollout) references rollouts(workspace, number)) without rowid`.execute(db);
}
