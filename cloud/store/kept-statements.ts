/** Statements of one connection that are prepared once and used again, the last few hundred texts. */
import type { SqliteDatabase, SqliteStatement } from 'kysely';

const mostKept = 200;

export class KeptStatements implements SqliteDatabase {
  private readonly kept = new Map<string, SqliteStatement>();

  constructor(private readonly database: SqliteDatabase) {}

  prepare(text: string): SqliteStatement {
    const known = this.kept.get(text);
    if (known) {
      this.kept.delete(text);
      this.kept.set(text, known);
      return known;
    }
    const statement = this.database.prepare(text);
    this.kept.set(text, statement);
    const [oldest] = this.kept.keys();
    if (this.kept.size > mostKept && oldest !== undefined) this.kept.delete(oldest);
    return statement;
  }

  close(): void {
    try {
      // The file is whole without its log, although statements that are kept leave the last word to the garbage collector.
      this.database.prepare('pragma wal_checkpoint(passive)').all([]);
    } catch {
      // A full or failing disk: the log has it, and the next start reads it.
    }
    this.kept.clear();
    this.database.close();
  }
}
