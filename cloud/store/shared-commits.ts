/**
 * Transactions that come within a moment share a commit: what takes long is the wait for the disk, and many that come at
 * once wait for it together. Invariant: each stands or falls by itself, by a savepoint of its own,
 * and none is told of before all are on disk.
 */
import { sql } from 'kysely';
import { SingleFlight } from '#shared/platform/single-flight.js';
import { CommitPace } from './commit-pace.js';
import type { ControlStore, ControlTransaction } from './control-database.js';

interface Waiting {
  readonly execute: (transaction: ControlTransaction) => Promise<void>;
  readonly settle: () => void;
  readonly fail: (error: unknown) => void;
}

/** Others want the database too. */
const atOnce = 32;
/** Somebody waits for each. */
const longestGatherMs = 10;

export class SharedCommits {
  private readonly waiting: Waiting[] = [];
  private readonly pace = new CommitPace(longestGatherMs);
  private readonly flight = new SingleFlight(
    () => this.work(),
    // Each caller has been told.
    () => undefined,
  );

  constructor(private readonly db: ControlStore) {}

  /** Runs it within a transaction. @returns what it returned, once that is on disk. @throws what it threw, or the commit */
  run<T>(body: (transaction: ControlTransaction) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let outcome: (() => void) | undefined;
      this.waiting.push({
        execute: async (transaction) => {
          await sql`savepoint shared`.execute(transaction);
          try {
            const value = await body(transaction);
            outcome = () => resolve(value);
          } catch (error) {
            outcome = () => reject(error instanceof Error ? error : new Error(String(error)));
            await sql`rollback to shared`.execute(transaction);
          }
          await sql`release shared`.execute(transaction);
        },
        settle: () => outcome?.(),
        fail: reject,
      });
      this.flight.wake();
    });
  }

  private async work(): Promise<void> {
    while (this.waiting.length > 0) {
      await this.pace.gather(this.waiting.length >= atOnce);
      const group = this.waiting.splice(0, atOnce);
      try {
        await this.pace.commit(() =>
          this.db.transaction().execute(async (transaction) => {
            for (const one of group) await one.execute(transaction);
          }),
        );
        for (const one of group) one.settle();
      } catch (error) {
        for (const one of group) one.fail(error);
      }
    }
  }
}
