/** One SQLite file through libsql and Kysely's own dialect. */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type DatabaseConnection, type Driver, Kysely, type SqliteDatabase, SqliteDialect, SqliteDriver } from 'kysely';
import Database from 'libsql';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { KeptStatements } from './kept-statements.js';
import { migrate, type Migration } from './migrate.js';

export interface SqliteOptions {
  /** FULL: a commit survives a power cut. NORMAL: the last ones may be lost, the file stays whole. */
  readonly synchronous: 'FULL' | 'NORMAL';
  readonly migrations: readonly Migration[];
  /** Statements are prepared once: for a connection on which nothing but the migrations at its start changes tables. */
  readonly keepsStatements?: boolean;
}

export async function openSqlite<T>(path: string, options: SqliteOptions): Promise<Kysely<T>> {
  await mkdir(dirname(path), { recursive: true });
  const database = connect(path, options.synchronous);
  const db = new Kysely<T>({ dialect: new StoreDialect(database, database) });
  try {
    await migrate(db, options.migrations, path);
    if (options.keepsStatements !== true) return db;
    return new Kysely<T>({ dialect: new StoreDialect(database, new KeptStatements(database)) });
  } catch (error) {
    await db.destroy();
    throw storeError(error) ?? error;
  }
}

class StoreDialect extends SqliteDialect {
  constructor(
    private readonly database: Database.Database,
    private readonly statements: SqliteDatabase,
  ) {
    super({ database: statements });
  }

  override createDriver(): Driver {
    return new StoreDriver(this.database, this.statements);
  }
}

/** SQLite itself undoes a transaction that a full disk stops; to undo it again would fail, and hide the reason. */
class StoreDriver extends SqliteDriver {
  constructor(
    private readonly database: Database.Database,
    statements: SqliteDatabase,
  ) {
    super({ database: statements });
  }

  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if (this.database.inTransaction) await super.rollbackTransaction(connection);
  }
}

function connect(path: string, synchronous: 'FULL' | 'NORMAL'): Database.Database {
  try {
    const database = new Database(path, { timeout: 5000 });
    database.pragma('journal_mode = WAL');
    database.pragma(`synchronous = ${synchronous}`);
    database.pragma('foreign_keys = ON');
    return database;
  } catch (error) {
    throw (
      storeError(error) ??
      new AppError('disk.failed', `cannot open the database ${path}: ${messageOf(error)}`, { cause: error })
    );
  }
}

/** What the disk beneath a database did, as an error that says what to do; undefined for any other failure. */
export function storeError(error: unknown): AppError | undefined {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code === 'SQLITE_FULL') {
    return new AppError('disk.full', 'the database cannot grow: no space left on the data folder; free some', {
      cause: error,
    });
  }
  if (code === 'SQLITE_NOTADB' || code.startsWith('SQLITE_CORRUPT')) {
    return new AppError('state.corrupt', `a database file is damaged (${messageOf(error)}): restore it from a backup`, {
      cause: error,
    });
  }
  if (code.startsWith('SQLITE_IOERR') || code.startsWith('SQLITE_READONLY') || code.startsWith('SQLITE_CANTOPEN')) {
    return new AppError('disk.failed', `the database cannot be read or written: ${messageOf(error)}`, { cause: error });
  }
  return undefined;
}
