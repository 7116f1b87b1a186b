/** Schedules in SQL. A row is known by its kind and its name. */
import { type Selectable, type SqlBool, sql, type ExpressionBuilder, type ExpressionWrapper } from 'kysely';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { byName, inOrderOf, nameCursor, type Page, type PageKey, type PageRequest } from '#cloud/store/page.js';
import type { ScheduleTable } from '#cloud/store/schedule-tables.js';
import type { ControlDatabase } from '#cloud/store/tables.js';
import type { LastTime, Schedule, ScheduleKindName } from './schedule.js';
import type { ScheduleTime } from './schedule-time.js';

export interface ScheduleAddress {
  readonly workspace: string;
  readonly kind: ScheduleKindName;
  readonly name: string;
}

const turnKey: PageKey<'turn' | 'number'> = [
  { column: 'turn', type: 'number' },
  { column: 'number', type: 'number' },
];

export class ScheduleRepository {
  constructor(private readonly db: Database) {}

  within(transaction: Database): ScheduleRepository {
    return new ScheduleRepository(transaction);
  }

  transaction<T>(work: (transaction: Database) => Promise<T>): Promise<T> {
    return this.db.transaction().execute(work);
  }

  /** @throws AppError `schedule.exists` */
  async insert({ when, action, lateSeconds, nextAt, lastAt, last, cancelled, ...rest }: Schedule): Promise<void> {
    const result = await this.db
      .insertInto('schedules')
      .values({
        ...{ ...rest, whenJson: JSON.stringify(when), actionJson: JSON.stringify(action) },
        ...{ lateSeconds: lateSeconds ?? null, nextAt: nextAt ?? null, lastAt: lastAt ?? null },
        ...{ lastJson: last === undefined ? null : JSON.stringify(last), cancelled: cancelled ? 1 : 0 },
      })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    if (result.numInsertedOrUpdatedRows === 1n) return;
    throw new AppError(
      'schedule.exists',
      `there is a schedule "${rest.name}" already: flotilla schedule delete ${rest.name}, or another name`,
    );
  }

  /** Those that will come. */
  async count(workspace: string, kind: ScheduleKindName): Promise<number> {
    const { count } = await this.db
      .selectFrom('schedules')
      .select((query) => query.fn.countAll<number>().as('count'))
      .where('workspace', '=', workspace)
      .where('kind', '=', kind)
      .where('nextAt', 'is not', null)
      .executeTakeFirstOrThrow();
    return count;
  }

  /** Of kinds whose schedules have numbers: one that none has had. */
  async nextNumber(workspace: string, kind: ScheduleKindName): Promise<number> {
    const last = await this.db
      .selectFrom('schedules')
      .select(sql<number | null>`max(cast(name as integer))`.as('number'))
      .where('workspace', '=', workspace)
      .where('kind', '=', kind)
      .executeTakeFirst();
    return (last?.number ?? 0) + 1;
  }

  /** By name. */
  async list(workspace: string, kind: ScheduleKindName, { limit, cursor }: PageRequest): Promise<Page<Schedule>> {
    let query = this.db
      .selectFrom('schedules')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('kind', '=', kind)
      .orderBy('name')
      .limit(limit + 1);
    if (cursor !== undefined) query = query.where('name', '>', nameCursor(cursor));
    return byName((await query.execute()).map(toSchedule), limit);
  }

  /** Those of numbers that will begin first, by when; then the others, newest first. */
  async listByTurn(workspace: string, kind: ScheduleKindName, page: PageRequest): Promise<Page<Schedule>> {
    // Above every instant, and the less the newer it is.
    const turn = sql<number>`coalesce(nextAt, ${Number.MAX_SAFE_INTEGER} - cast(name as integer))`.as('turn');
    const own = this.db
      .selectFrom('schedules')
      .selectAll()
      .select([turn, sql<number>`cast(name as integer)`.as('number')])
      .where('workspace', '=', workspace)
      .where('kind', '=', kind);
    const { items, ...rest } = await inOrderOf(this.db.selectFrom(own.as('own')).selectAll(), turnKey, page);
    return { ...rest, items: items.map(toSchedule) };
  }

  async find(address: ScheduleAddress): Promise<Schedule | undefined> {
    const row = await this.db.selectFrom('schedules').selectAll().where(isAt(address)).executeTakeFirst();
    return row && toSchedule(row);
  }

  /** @throws AppError `schedule.not-found` */
  async require(address: ScheduleAddress): Promise<Schedule> {
    const found = await this.find(address);
    if (found !== undefined) return found;
    const { workspace, kind, name } = address;
    const names = await this.db
      .selectFrom('schedules')
      .select('name')
      .where('workspace', '=', workspace)
      .where('kind', '=', kind)
      .execute();
    const near = nearest(
      name,
      names.map((row) => row.name),
    );
    const hint = near === undefined ? 'flotilla schedule list shows those there are' : `did you mean "${near}"?`;
    throw new AppError('schedule.not-found', `there is no schedule "${name}"; ${hint}`);
  }

  /** @throws AppError `schedule.not-found` */
  async remove(address: ScheduleAddress): Promise<void> {
    await this.require(address);
    await this.db.deleteFrom('schedules').where(isAt(address)).execute();
  }

  /** It is kept, and comes no more. @returns false where it did not come any more, or is not there */
  async cancel(address: ScheduleAddress): Promise<boolean> {
    const result = await this.db
      .updateTable('schedules')
      .set({ nextAt: null, cancelled: 1 })
      .where(isAt(address))
      .where('nextAt', 'is not', null)
      .executeTakeFirst();
    return result.numUpdatedRows === 1n;
  }

  /** Of every workspace, the longest due first. */
  async due(now: number): Promise<Schedule[]> {
    const rows = await this.db
      .selectFrom('schedules')
      .selectAll()
      .where('nextAt', '<=', now)
      .orderBy('nextAt')
      .orderBy('workspace')
      .orderBy('kind')
      .orderBy('name')
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

  /** @returns false when somebody else was faster, or it was deleted or cancelled */
  async advance(schedule: Schedule, nextAt: number | undefined, lastAt: number, last: LastTime): Promise<boolean> {
    const result = await this.db
      .updateTable('schedules')
      .set({ nextAt: nextAt ?? null, lastAt, lastJson: JSON.stringify(last) })
      .where(isAt(schedule))
      .where('createdAt', '=', schedule.createdAt)
      .where('nextAt', '=', schedule.nextAt ?? null)
      .executeTakeFirst();
    return result.numUpdatedRows === 1n;
  }
}

type Asked = ExpressionBuilder<ControlDatabase, 'schedules'>;

function isAt({ workspace, kind, name }: ScheduleAddress) {
  return (row: Asked): ExpressionWrapper<ControlDatabase, 'schedules', SqlBool> => row.and({ workspace, kind, name });
}

function toSchedule(row: Selectable<ScheduleTable>): Schedule {
  const { workspace, kind, name, whenJson, actionJson, createdAt, createdBy } = row;
  return {
    ...{ workspace, kind, name, createdAt, createdBy, cancelled: row.cancelled === 1 },
    when: JSON.parse(whenJson) as ScheduleTime,
    action: JSON.parse(actionJson) as unknown,
    ...(row.lateSeconds === null ? {} : { lateSeconds: row.lateSeconds }),
    ...(row.nextAt === null ? {} : { nextAt: row.nextAt }),
    ...(row.lastAt === null ? {} : { lastAt: row.lastAt }),
    ...(row.lastJson === null ? {} : { last: JSON.parse(row.lastJson) as LastTime }),
  };
}
