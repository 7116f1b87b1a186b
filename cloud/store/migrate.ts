/**
 * Brings a database to the newest schema. All pending migrations and their records are one transaction:
 * a kill in the middle leaves the schema of before. Kysely's own migrator cannot promise that on SQLite.
 * Migrations are only ever appended.
 */
import { sql, type Kysely } from 'kysely';
import { AppError } from '#shared/kernel/errors.js';

export interface Migration {
  /** Sorts after every earlier one and never changes. */
  readonly name: string;
  up(db: Kysely<unknown>): Promise<void>;
}

export async function migrate<T>(db: Kysely<T>, migrations: readonly Migration[], path: string): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    await sql`create table if not exists migrations (name text primary key)`.execute(transaction);
    const applied = await sql<{ name: string }>`select name from migrations order by name`.execute(transaction);
    const names = applied.rows.map((row) => row.name);
    const unknown = names.filter((name) => !migrations.some((migration) => migration.name === name));
    if (unknown.length > 0) {
      throw new AppError(
        'state.corrupt',
        `${path} was written by a newer Flotilla (it has ${unknown.join(', ')}): use that version, or another data folder`,
      );
    }
    for (const migration of migrations) {
      if (names.includes(migration.name)) continue;
      await migration.up(transaction as unknown as Kysely<unknown>);
      await sql`insert into migrations (name) values (${migration.name})`.execute(transaction);
    }
  });
}
