import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** What lists and counts would read row by row in a large fleet. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    // Rows of rolloutDevices are long where they say what a device had before: counting reads none of them.
    sql`create index rolloutDeviceStandings on rolloutDevices (workspace, rollout, wave, standing)`,
    sql`create index alertsFiring on alertStates (workspace, rule) where firing = 1`,
    // Of a workspace that does little among others that do much.
    sql`create index auditEntriesOfWorkspace on auditEntries (workspace, sequence)`,
  ];
  for (const statement of statements) await statement.execute(db);
}
