/** The telemetry database behind its port, in the thread that constructs it. */
import { sql } from 'kysely';
import { openTelemetryDatabase, type TelemetryStore } from '#cloud/store/telemetry-database.js';
import type { ModuleNumbers } from './cohort-numbers.js';
import { readCohort } from './cohort-reader.js';
import { readEvents, readNewEvents } from './event-reader.js';
import { followRemoval, pruneStep, type Retention, type Thinned, thinStep } from './retention.js';
import { type MachineMinute, type ModuleRollup, type RolledUp, rollUp } from './roll-up.js';
import { readSeries } from './series-reader.js';
import { readShadows } from './shadow-reader.js';
import type {
  CohortQuestion,
  EventsAnswer,
  EventsQuestion,
  IngestResult,
  NewEvents,
  NewEventsQuestion,
  ReceivedBatch,
  SeriesAnswer,
  SeriesQuestion,
  ShadowAnswer,
  ShadowQuestion,
  TelemetryAnswer,
  TelemetryPort,
  TelemetryQuestion,
} from './telemetry-port.js';
import { readTelemetry } from './telemetry-reader.js';
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
/** A question does not wait for more: what lags behind is told by the next. */
const stepsBeforeAnswer = 5;

export class TelemetryRepository implements TelemetryPort {
  /** Summed up on the way of questions, and not yet told to who asks for sums. */
  private untold: { minutes: ModuleRollup[]; machines: MachineMinute[] } = { minutes: [], machines: [] };

  private constructor(private readonly db: TelemetryStore) {}

  static async open(path: string): Promise<TelemetryRepository> {
    return new TelemetryRepository(await openTelemetryDatabase(path));
  }

  ingest(batches: readonly ReceivedBatch[]): Promise<IngestResult> {
    return writeBatches(this.db, batches);
  }

  async telemetry(question: TelemetryQuestion): Promise<TelemetryAnswer> {
    await this.catchUp();
    return readTelemetry(this.db, question);
  }

  events(question: EventsQuestion): Promise<EventsAnswer> {
    return readEvents(this.db, question);
  }

  newEvents(question: NewEventsQuestion): Promise<NewEvents> {
    return readNewEvents(this.db, question);
  }

  async series(question: SeriesQuestion): Promise<SeriesAnswer> {
    await this.catchUp();
    return readSeries(this.db, question);
  }

  async cohort(question: CohortQuestion): Promise<ModuleNumbers> {
    await this.catchUp();
    return readCohort(this.db, question);
  }

  async shadows(question: ShadowQuestion): Promise<ShadowAnswer> {
    await this.catchUp();
    return readShadows(this.db, question);
  }

  async rollUp(): Promise<RolledUp> {
    const caughtUp = await this.step();
    const told = this.untold;
    this.untold = { minutes: [], machines: [] };
    return { ...told, caughtUp };
  }

  async thin(retention: Retention): Promise<Thinned> {
    // What is not summed up yet is not forgotten.
    if (!(await this.catchUp())) return { removed: 0, more: true };
    return thinStep(this.db, retention);
  }

  async prune(beforeMs: number): Promise<number> {
    let removed = 0;
    for (let step = await pruneStep(this.db, beforeMs); step.more; step = await pruneStep(this.db, beforeMs)) {
      removed += step.removed;
    }
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
  }

  async close(): Promise<void> {
    await this.db.destroy();
  }

  /** @returns whether all is summed up */
  private async catchUp(): Promise<boolean> {
    for (let step = 0; step < stepsBeforeAnswer; step++) {
      if (await this.step()) return true;
    }
    return false;
  }

  private async step(): Promise<boolean> {
    const { minutes, machines, caughtUp } = await rollUp(this.db);
    this.untold.minutes.push(...minutes);
    this.untold.machines.push(...machines);
    return caughtUp;
  }
}
