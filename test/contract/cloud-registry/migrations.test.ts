import { writeFile } from 'node:fs/promises';
import { sql, type Kysely } from 'kysely';
import { describe, expect, it } from 'vitest';
import { controlMigrations, openControlDatabase } from '#cloud/store/control-database.js';
import { migrate, type Migration } from '#cloud/store/migrate.js';
import { openSqlite, storeError } from '#cloud/store/sqlite.js';
import { openTelemetryDatabase, telemetryMigrations } from '#cloud/store/telemetry-database.js';
import { dependents } from '#cloud/store/workspace-repository.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();

const schemaOf = async (db: Kysely<never>): Promise<string[]> =>
  (await sql<{ sql: string }>`select sql from sqlite_master where sql is not null order by name`.execute(db)).rows.map(
    (row) => row.sql,
  );
const tables = async (path: string, migrations: readonly Migration[]): Promise<string[]> => {
  const db = await openSqlite<never>(path, { synchronous: 'NORMAL', migrations });
  const schema = await schemaOf(db);
  await db.destroy();
  return schema;
};
const add = (name: string, statement: string): Migration => ({
  name,
  up: async (db) => {
    await sql.raw(statement).execute(db);
  },
});

describe('the databases', () => {
  it('are durable: WAL, FULL for control, NORMAL for telemetry, foreign keys checked', async () => {
    const pragma = async (db: Kysely<never>, name: string): Promise<unknown> =>
      Object.values((await sql.raw<Record<string, unknown>>(`pragma ${name}`).execute(db)).rows[0] ?? {})[0];
    const control = (await openControlDatabase(folder('control.db'))) as unknown as Kysely<never>;
    const telemetry = (await openTelemetryDatabase(folder('telemetry.db'))) as unknown as Kysely<never>;
    expect(await pragma(control, 'journal_mode')).toBe('wal');
    expect(await pragma(control, 'synchronous')).toBe(2);
    expect(await pragma(control, 'foreign_keys')).toBe(1);
    expect(await pragma(telemetry, 'journal_mode')).toBe('wal');
    expect(await pragma(telemetry, 'synchronous')).toBe(1);
    await control.destroy();
    await telemetry.destroy();
  });

  it('have a workspace in every table that holds what users made', async () => {
    const db = (await openControlDatabase(folder('scope.db'))) as unknown as Kysely<never>;
    const found = await sql<{ name: string }>`select m.name from sqlite_master m where m.type = 'table'
      and not exists (select 1 from pragma_table_info(m.name) c where c.name = 'workspace') order by m.name`.execute(
      db,
    );
    expect(found.rows.map((row) => row.name)).toEqual([
      'activityLog',
      'auditChain',
      'auditIntents',
      'migrations',
      // The document of all endpoints, made of tables that have one.
      'services',
      'workspaces',
    ]);
    await db.destroy();
  });

  it('have nothing that would keep a workspace from being removed: what refers to it goes with it', async () => {
    const db = (await openControlDatabase(folder('references.db'))) as unknown as Kysely<never>;
    const found = await sql<{ name: string }>`select distinct m.name from sqlite_master m
      join pragma_foreign_key_list(m.name) f where m.type = 'table' order by m.name`.execute(db);
    const names = found.rows.map((row) => row.name).filter((name) => name !== 'activityLog');
    expect(names.filter((name) => !dependents.some((one) => one === name))).toEqual([]);
    await db.destroy();
  });
});

describe('migrations', () => {
  it('are named in ascending order and never twice', () => {
    for (const list of [controlMigrations, telemetryMigrations]) {
      const names = list.map(({ name }) => name);
      expect(names).toEqual([...new Set(names)].sort());
    }
  });

  it('lead to the same schema from nothing and step by step, and change nothing the second time', async () => {
    const all = [add('1', 'create table a (x integer)'), add('2', 'alter table a add column y text')];
    const atOnce = await tables(folder('at-once.db'), all);
    await tables(folder('steps.db'), all.slice(0, 1));
    expect(await tables(folder('steps.db'), all)).toEqual(atOnce);
    expect(await tables(folder('steps.db'), all)).toEqual(atOnce);
  });

  it('that fail leave the schema of before, whole', async () => {
    const good = [add('1', 'create table a (x integer)')];
    const before = await tables(folder('failing.db'), good);
    const bad = [...good, add('2', 'create table b (x integer)'), add('3', 'create nonsense')];
    await expect(tables(folder('failing.db'), bad)).rejects.toThrow();
    expect(await tables(folder('failing.db'), good)).toEqual(before);
  });

  it('of a newer version are not touched by an older one', async () => {
    const all = [add('1', 'create table a (x integer)'), add('2', 'create table b (x integer)')];
    await tables(folder('newer.db'), all);
    await expect(tables(folder('newer.db'), all.slice(0, 1))).rejects.toThrow(/newer Flotilla \(it has 2\)/);
  });

  it('run in one transaction with their records', async () => {
    const db = await openSqlite<never>(folder('one.db'), { synchronous: 'FULL', migrations: [] });
    let inside: string[] = [];
    await migrate(
      db,
      [
        {
          name: '1',
          up: async (inner) => {
            inside = await schemaOf(inner as unknown as Kysely<never>);
          },
        },
      ],
      'one.db',
    );
    expect(inside.some((statement) => statement.includes('migrations'))).toBe(true);
    await db.destroy();
  });
});

describe('a failing disk', () => {
  it('is told apart: full, damaged, and everything else', async () => {
    const db = await openSqlite<never>(folder('full.db'), {
      synchronous: 'FULL',
      migrations: [add('1', 'create table a (x text)')],
    });
    await sql`pragma max_page_count = 20`.execute(db);
    const failure = await sql`insert into a values (${'x'.repeat(200_000)})`.execute(db).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(storeError(failure)?.code).toBe('disk.full');
    await db.destroy();
    await writeFile(folder('junk.db'), 'x'.repeat(8192));
    await expect(openControlDatabase(folder('junk.db'))).rejects.toMatchObject({ code: 'state.corrupt' });
    expect(storeError(new Error('something else'))).toBeUndefined();
  });

  it('that is full in the middle of a transaction undoes it whole, says so, and goes on when there is room', async () => {
    const db = await openSqlite<never>(folder('full-transaction.db'), {
      synchronous: 'FULL',
      migrations: [add('1', 'create table a (x text)')],
    });
    const insertTwo = (bytes: number): Promise<void> =>
      db.transaction().execute(async (transaction) => {
        await sql`insert into a values ('small')`.execute(transaction);
        await sql`insert into a values (${'x'.repeat(bytes)})`.execute(transaction);
      });
    const count = async (): Promise<number | undefined> =>
      (await sql<{ rows: number }>`select count(*) as rows from a`.execute(db)).rows[0]?.rows;
    await sql`pragma max_page_count = 20`.execute(db);
    for (let attempt = 0; attempt < 2; attempt++) {
      const failure: unknown = await insertTwo(200_000).catch((error: unknown) => error);
      expect(storeError(failure)?.code).toBe('disk.full');
      expect(await count()).toBe(0);
    }
    await sql`pragma max_page_count = 10000`.execute(db);
    await insertTwo(200_000);
    expect(await count()).toBe(2);
    await db.destroy();
  });
});
