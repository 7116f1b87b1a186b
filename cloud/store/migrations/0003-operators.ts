/** Who may change what, and what was changed: tokens with scope, role and end, and the audit log. */
import { sql, type Kysely } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    // Tokens of the form before: they had no public part to be found by. A start without an owner makes a new one.
    sql`drop table tokens`,
    sql`create table tokens (
      id text primary key, workspace text references workspaces(name), role text not null, name text not null,
      secretHash text not null, createdAt text not null, createdBy text, expiresAt text, lastUsedAt text, revokedAt text)`,
    sql`create table auditEntries (
      sequence integer primary key, at text not null, workspace text,
      actorKind text not null, actorId text not null, actorName text, origin text,
      action text not null, target text not null, outcome text not null, detailsJson text not null,
      previousHash text not null, hash text not null)`,
    sql`create table auditChain (
      id integer primary key check (id = 1),
      anchorSequence integer not null, anchorHash text not null, headSequence integer not null, headHash text not null)`,
    sql`insert into auditChain (id, anchorSequence, anchorHash, headSequence, headHash) values (1, 0, '', 0, '')`,
    // What is under way. A row that outlives the process tells the next start of a change that may have happened.
    sql`create table auditIntents (id text primary key, eventJson text not null, at text not null)`,
    sql`create trigger auditEntriesNeverChange before update on auditEntries
      begin select raise(abort, 'the audit log is append-only'); end`,
    sql`create trigger auditEntriesNeverGo before delete on auditEntries
      when old.sequence > (select anchorSequence from auditChain)
      begin select raise(abort, 'the audit log is append-only'); end`,
  ];
  for (const statement of statements) await statement.execute(db);
}
