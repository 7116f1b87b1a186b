/**
 * Removes what ended long ago: activities, commands to many devices and their schedules that come no more, rollouts
 * and shifts of traffic with their history. A little at a time, so that nobody waits for long behind it; never what is under way, never the
 * newest of its kind, whose number must not be given again, and never a rollout that a device would need to be led back.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { toInstant } from '#shared/kernel/clock.js';
import { type RawBuilder, sql } from 'kysely';
import type { ControlStore, ControlTransaction } from './control-database.js';

export interface HistoryLimits {
  readonly activityDays: number;
  readonly commandDays: number;
  readonly rolloutDays: number;
  /** Of one rollout that has ended. */
  readonly rolloutHistoryEntries: number;
}

/** Rows by table. */
export type Removed = Readonly<Record<string, number>>;

const dayMs = 86_400_000;
const rowsAtOnce = 500;

export class HistoryRetention {
  private removed: Record<string, number> = {};

  constructor(
    private readonly db: ControlStore,
    private readonly clock: Clock,
    private readonly limits: HistoryLimits,
  ) {}

  async run(): Promise<Removed> {
    this.removed = {};
    await this.activities();
    await this.commands();
    await this.rollouts();
    await this.shifts();
    return this.removed;
  }

  private async activities(): Promise<void> {
    const before = this.before(this.limits.activityDays);
    const old = sql`select id from activities where endedAt < ${before} order by endedAt limit ${rowsAtOnce}`;
    await this.again(async (db) => {
      await sql`delete from activityLog where activity in (${old})`.execute(db);
      return this.delete(db, 'activities', sql`id in (${old})`);
    });
  }

  private async commands(): Promise<void> {
    const { commandDays } = this.limits;
    const jobs = await sql<{ workspace: string; number: number }>`
      select workspace, number from commandJobs as j where endedAt < ${this.before(commandDays)}
        and number < (select max(number) from commandJobs where workspace = j.workspace)`.execute(this.db);
    for (const { workspace, number } of jobs.rows) {
      const own = sql`workspace = ${workspace} and job = ${number}`;
      await this.again((db) => this.delete(db, 'commandJobDevices', some('commandJobDevices', 'device', own)));
      await this.once('commandJobs', sql`workspace = ${workspace} and number = ${number}`);
    }
    const ago = this.clock.now() - commandDays * dayMs;
    await this.once('schedules', sql`kind = 'command' and nextAt is null and lastAt < ${ago}`);
  }

  private async rollouts(): Promise<void> {
    const { rolloutDays, rolloutHistoryEntries } = this.limits;
    const ended = await sql<{ workspace: string; number: number; unneeded: number }>`
      select workspace, number, endedAt < ${this.before(rolloutDays)}
        and number < (select max(number) from rollouts where workspace = o.workspace)
        and not exists (select 1 from rolloutDevices as r
          join devices as d on d.workspace = r.workspace and d.name = r.device and d.retiredAt is null
          where r.workspace = o.workspace and r.rollout = o.number and r.generation is not null
            and not exists (select 1 from rolloutDevices as later
              where later.workspace = r.workspace and later.device = r.device and later.rollout > r.rollout
                and later.generation is not null)) as unneeded
      from rollouts as o where endedAt is not null`.execute(this.db);
    for (const { workspace, number, unneeded } of ended.rows) {
      const own = sql`workspace = ${workspace} and rollout = ${number}`;
      const kept = unneeded === 1 ? 0 : rolloutHistoryEntries;
      await this.again((db) => {
        const last = sql`select id from rolloutHistory where ${own} order by id desc limit 1 offset ${kept}`;
        const first = sql`select id from rolloutHistory where ${own} and id <= (${last}) order by id limit ${rowsAtOnce}`;
        return this.delete(db, 'rolloutHistory', sql`id in (${first})`);
      });
      if (unneeded !== 1) continue;
      await this.again((db) => this.delete(db, 'rolloutDevices', some('rolloutDevices', 'device', own)));
      await this.once('rolloutGates', own);
      await this.once('rollouts', sql`workspace = ${workspace} and number = ${number}`);
    }
  }

  /** Of each endpoint that is there the newest stays: its number must not come again. */
  private async shifts(): Promise<void> {
    const ended = await sql<{ endpoint: string; number: number }>`
      select s.endpoint, s.number from shifts as s join endpoints as e on e.id = s.endpoint
      where s.endedAt < ${this.before(this.limits.rolloutDays)}
        and (e.deletedAt is not null or s.number < (select max(number) from shifts where endpoint = s.endpoint))`.execute(
      this.db,
    );
    for (const { endpoint, number } of ended.rows) {
      const own = sql`endpoint = ${endpoint} and shift = ${number}`;
      await this.again((db) => this.delete(db, 'shiftHistory', some('shiftHistory', 'id', own)));
      await this.once('shiftGates', own);
      await this.once('shifts', sql`endpoint = ${endpoint} and number = ${number}`);
    }
  }

  private before(days: number): string {
    return toInstant(this.clock.now() - days * dayMs);
  }

  /** In transactions of their own, with room between them for whoever waits for the database. */
  private async again(batch: (db: ControlTransaction) => Promise<number>): Promise<void> {
    while ((await this.db.transaction().execute(batch)) > 0) await new Promise((resolve) => setImmediate(resolve));
  }

  private async once(table: string, where: RawBuilder<unknown>): Promise<void> {
    await this.db.transaction().execute((db) => this.delete(db, table, where));
  }

  private async delete(db: ControlTransaction, table: string, where: RawBuilder<unknown>): Promise<number> {
    const { numAffectedRows = 0n } = await sql`delete from ${sql.table(table)} where ${where}`.execute(db);
    const count = Number(numAffectedRows);
    if (count > 0) this.removed[table] = (this.removed[table] ?? 0) + count;
    return count;
  }
}

/** The first rows of a table that match, by one column that tells them apart among those. */
function some(table: string, column: string, own: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`${own} and ${sql.ref(column)} in
    (select ${sql.ref(column)} from ${sql.table(table)} where ${own} order by ${sql.ref(column)} limit ${rowsAtOnce})`;
}
