import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** Rules, what each of them stands at, what has yet to be told, and up to which event they have been judged. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`create table alertRules (
      workspace text not null references workspaces(name), name text not null, ruleJson text not null,
      createdAt text not null, updatedAt text not null, primary key (workspace, name))`,
    sql`create table alertStates (
      workspace text not null, rule text not null, subject text not null, firing integer not null, stateJson text not null,
      primary key (workspace, rule, subject),
      foreign key (workspace, rule) references alertRules(workspace, name))`,
    sql`create table alertOutbox (
      id integer primary key, workspace text not null references workspaces(name),
      destination text not null, payload text not null, attempts integer not null, nextAt integer not null,
      createdAt integer not null)`,
    sql`create index alertOutboxDue on alertOutbox (destination, id)`,
    sql`create table alertCursors (
      workspace text primary key references workspaces(name), eventId integer not null)`,
  ];
  for (const statement of statements) await statement.execute(db);
}
