import type { Kysely } from 'kysely';
import { sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create table streamGaps (
    workspace text not null, device text not null, kind text not null, bootId integer not null,
    fromSequence integer not null, upToSequence integer not null, reason text, receivedAt integer not null,
    primary key (workspace, device, kind, bootId, fromSequence))`.execute(db);
}
