/** Schedules in SQL. */
import type { Selectable } from 'kysely';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { ScheduleTable } from '#cloud/store/command-tables.js';
import type { Page, PageRequest } from '#cloud/store/page.js';
import { byName, nameCursor } from '#cloud/store/page.js';
import { type ScheduleWhen, scheduleWhenSchema } from './schedule-time.js';

export interface LastTime {
  readonly outcome: 'begun' | 'missed' | 'failed';
  readonly text: string;
}

export interface Schedule {
  readonly workspace: string;
  readonly name: string;
  readonly kind: string;
  readonly when: ScheduleWhen;
  /** For its kind to read. */
  readonly action: unknown;
  /** Epoch milliseconds; undefined: never again. */
  readonly nextAt?: number | undefined;
  readonly lastAt?: number | undefined;
  readonly last?: LastTime | undefined;
  readonly createdAt: string;
  readonly createdBy: string;
}

export class ScheduleRepository {
  constructor(private readonly db: Database) {}

  within(transaction: Database): ScheduleRepository {
    return new ScheduleRepository(transaction);
  }

  transaction<T>(work: (transaction: Database) => Promise<T>): Promise<T> {
    return this.db.transaction().execute(work);
  }

  /** @throws AppError `schedule.exists` */
  async insert({ when, action, nextAt, lastAt, last, ...rest }: Schedule): Promise<void> {
    const result = await this.db
      .insertInto('schedules')
      .values({
        ...{ ...rest, whenJson: JSON.stringify(when), actionJson: JSON.stringify(action) },
        ...{
          nextAt: nextAt ?? null,
          lastAt: lastAt ?? null,
          lastJson: last === undefined ? null : JSON.stringify(last),
        },
      })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    if (result.numInsertedOrUpdatedRows === 1n) return;
    throw new AppError(
      'schedule.exists',
      `there is a schedule "${rest.name}" already: flotilla schedule delete ${rest.name}, or another name`,
    );
  }

  async count(workspace: string): Promise<number> {
    const { count } = await this.db
      .selectFrom('schedules')
      .select((query) => query.fn.countAll<number>().as('count'))
      .where('workspace', '=', workspace)
      .executeTakeFirstOrThrow();
    return count;
  }

  /** By name. */
  async list(workspace: string, { limit, cursor }: PageRequest): Promise<Page<Schedule>> {
    let query = this.db
      .selectFrom('schedules')
      .selectAll()
      .where('workspace', '=', workspace)
      .orderBy('name')
      .limit(limit + 1);
    if (cursor !== undefined) query = query.where('name', '>', nameCursor(cursor));
    return byName((await query.execute()).map(toSchedule), limit);
  }

  async find(workspace: string, name: string): Promise<Schedule | undefined> {
    const row = await this.db
      .selectFrom('schedules')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('name', '=', name)
      .executeTakeFirst();
    return row && toSchedule(row);
  }

  /** @throws AppError `schedule.not-found` */
  async require(workspace: string, name: string): Promise<Schedule> {
    const found = await this.find(workspace, name);
    if (found !== undefined) return found;
    const names = await this.db.selectFrom('schedules').select('name').where('workspace', '=', workspace).execute();
    const near = nearest(
      name,
      names.map((row) => row.name),
    );
    const hint = near === undefined ? 'flotilla schedule list shows those there are' : `did you mean "${near}"?`;
    throw new AppError('schedule.not-found', `there is no schedule "${name}"; ${hint}`);
  }

  /** @throws AppError `schedule.not-found` */
  async remove(workspace: string, name: string): Promise<void> {
    await this.require(workspace, name);
    await this.db.deleteFrom('schedules').where('workspace', '=', workspace).where('name', '=', name).execute();
  }

  /** Of every workspace, the longest due first. */
  async due(now: number): Promise<Schedule[]> {
    const rows = await this.db
      .selectFrom('schedules')
      .selectAll()
      .where('nextAt', '<=', now)
      .orderBy('nextAt')
      .execute();
    return rows.map(toSchedule);
  }

  async nextAt(): Promise<number | undefined> {
    const row = await this.db
      .selectFrom('schedules')
      .select((query) => query.fn.min<number | null>('nextAt').as('nextAt'))
      .executeTakeFirst();
    return row?.nextAt ?? undefined;
  }

  /** @returns false when somebody else was faster, or it was deleted */
  async advance(
    { workspace, name, nextAt: dueAt = 0, createdAt }: Schedule,
    nextAt: number | undefined,
    lastAt: number,
    last: LastTime,
  ): Promise<boolean> {
    const result = await this.db
      .updateTable('schedules')
      .set({ nextAt: nextAt ?? null, lastAt, lastJson: JSON.stringify(last) })
      .where('workspace', '=', workspace)
      .where('name', '=', name)
      .where('createdAt', '=', createdAt)
      .where('nextAt', '=', dueAt)
      .executeTakeFirst();
    return result.numUpdatedRows === 1n;
  }
}

function toSchedule({ whenJson, actionJson, lastJson, nextAt, lastAt, ...rest }: Selectable<ScheduleTable>): Schedule {
  return {
    ...rest,
    when: scheduleWhenSchema.parse(JSON.parse(whenJson)),
    action: JSON.parse(actionJson) as unknown,
    ...(nextAt === null ? {} : { nextAt }),
    ...(lastAt === null ? {} : { lastAt }),
    ...(lastJson === null ? {} : { last: JSON.parse(lastJson) as LastTime }),
  };
}
