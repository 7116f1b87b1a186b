/** The telemetry database behind its port, in the thread that constructs it. */
import { sql } from 'kysely';
import { openTelemetryDatabase, type TelemetryStore } from '#cloud/store/telemetry-database.js';
import { followRemoval, pruneStep, type Retention, type Thinned, thinStep } from './retention.js';
import { type RolledUp, RollUp } from './roll-up.js';
import { StreamMarks } from './stream-marks.js';
import type { IngestResult, ReceivedBatch, TelemetryPort } from './telemetry-port.js';
import { QuestionRepository } from './telemetry-questions.js';
import { writeBatches } from './telemetry-writer.js';

const tables = [
  'moduleMetrics',
  'systemMetrics',
  'moduleRollups',
  'systemRollups',
  'deviceEvents',
  'streamGaps',
  'streamMarks',
] as const;
/** Rows removed in one statement. */
const rowsPerErasure = 10_000;

export interface TelemetryRepositoryOptions {
  /** Minutes are told by device too. */
  readonly tellsDevices?: boolean;
}

export class TelemetryRepository extends QuestionRepository implements TelemetryPort {
  private readonly marks = new StreamMarks();

  private constructor(
    db: TelemetryStore,
    private readonly sums: RollUp,
  ) {
    super(db);
  }

  static async open(
    path: string,
    { tellsDevices = false }: TelemetryRepositoryOptions = {},
  ): Promise<TelemetryRepository> {
    const db = await openTelemetryDatabase(path);
    try {
      return new TelemetryRepository(db, await RollUp.open(db, tellsDevices));
    } catch (error) {
      await db.destroy();
      throw error;
    }
  }

  async ingest(batches: readonly ReceivedBatch[]): Promise<IngestResult> {
    const result = await writeBatches(this.db, batches, this.marks, this.sums);
    // A part of what is over goes along, so that it never comes all at once. It is stored: a failure is told by `rollUp`.
    await this.sums.step().catch(() => undefined);
    return result;
  }

  async rollUp(): Promise<RolledUp> {
    const caughtUp = await this.sums.step();
    return { ...this.sums.tell(), caughtUp };
  }

  thin(retention: Retention): Promise<Thinned> {
    return thinStep(this.db, retention, (to) => this.sums.settle(to));
  }

  async prune(beforeMs: number): Promise<number> {
    let removed = 0;
    const next = (): Promise<Thinned> => pruneStep(this.db, beforeMs, (to) => this.sums.settle(to));
    for (let step = await next(); step.more; step = await next()) removed += step.removed;
    return removed;
  }

  /** What was said goes first: while a mark stands, nothing of what it covers is stored again. */
  async eraseWorkspace(workspace: string): Promise<void> {
    for (const table of tables) {
      for (;;) {
        const removed = await this.db.transaction().execute(async (transaction) => {
          const result = await sql`delete from ${sql.table(table)} where rowid in (
            select rowid from ${sql.table(table)} where workspace = ${workspace} limit ${rowsPerErasure})`.execute(
            transaction,
          );
          if (table === 'moduleMetrics' || table === 'systemMetrics') await followRemoval(transaction, table);
          return Number(result.numAffectedRows ?? 0n);
        });
        if (removed < rowsPerErasure) break;
      }
    }
    this.marks.forget();
    await this.sums.reload();
  }
}
