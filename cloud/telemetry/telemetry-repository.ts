/** The telemetry database behind its port, in the thread that constructs it. */
import { sql } from 'kysely';
import { openTelemetryDatabase, type TelemetryStore } from '#cloud/store/telemetry-database.js';
import type {
  EventsAnswer,
  EventsQuestion,
  IngestResult,
  ReceivedBatch,
  TelemetryAnswer,
  TelemetryPort,
  TelemetryQuestion,
} from './telemetry-port.js';
import { readEvents, readTelemetry } from './telemetry-reader.js';
import { writeBatches } from './telemetry-writer.js';

/** What is forgotten in time. */
const tables = ['moduleMetrics', 'systemMetrics', 'deviceEvents'] as const;
/** Rows removed in one statement: ingestion goes on between two. */
const rowsPerPrune = 10_000;

export class TelemetryRepository implements TelemetryPort {
  private constructor(private readonly db: TelemetryStore) {}

  static async open(path: string): Promise<TelemetryRepository> {
    return new TelemetryRepository(await openTelemetryDatabase(path));
  }

  ingest(batches: readonly ReceivedBatch[]): Promise<IngestResult> {
    return writeBatches(this.db, batches);
  }

  telemetry(question: TelemetryQuestion): Promise<TelemetryAnswer> {
    return readTelemetry(this.db, question);
  }

  events(question: EventsQuestion): Promise<EventsAnswer> {
    return readEvents(this.db, question);
  }

  async prune(beforeMs: number): Promise<number> {
    let removed = 0;
    for (const table of tables) {
      for (;;) {
        const result = await sql`delete from ${sql.table(table)} where rowid in (
          select rowid from ${sql.table(table)} where receivedAt < ${beforeMs} limit ${rowsPerPrune})`.execute(this.db);
        const rows = Number(result.numAffectedRows ?? 0n);
        removed += rows;
        if (rows < rowsPerPrune) break;
      }
    }
    return removed;
  }

  /** What was said goes first: while a mark stands, nothing of what it covers is stored again. */
  async eraseWorkspace(workspace: string): Promise<void> {
    for (const table of [...tables, 'streamGaps', 'streamMarks'] as const) {
      for (;;) {
        const result = await sql`delete from ${sql.table(table)} where rowid in (
          select rowid from ${sql.table(table)} where workspace = ${workspace} limit ${rowsPerPrune})`.execute(this.db);
        if (Number(result.numAffectedRows ?? 0n) < rowsPerPrune) break;
      }
    }
  }

  async close(): Promise<void> {
    await this.db.destroy();
  }
}
