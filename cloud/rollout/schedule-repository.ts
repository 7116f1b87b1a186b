/** Rollouts that are to start by themselves, in SQL. A row keeps its number and how its last time went. */
import { type Selectable, sql } from 'kysely';
import { AppError } from '#shared/kernel/errors.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { inOrderOf, type Page, type PageKey, type PageRequest } from '#cloud/store/page.js';
import type { RolloutScheduleTable } from '#cloud/store/rollout-tables.js';
import { type RolloutPolicy, rolloutPolicySchema } from './policy.js';

export interface ScheduledOrder {
  /** name:version, or a name: its newest version at that time. */
  readonly release: string;
  readonly fleet: string;
  readonly policy: RolloutPolicy;
  readonly supersede: boolean;
  readonly ignoreFreeze: boolean;
}

export interface RolloutSchedule {
  readonly workspace: string;
  readonly number: number;
  readonly order: ScheduledOrder;
  /** Absent: once. */
  readonly cron?: string | undefined;
  readonly timeZone?: string | undefined;
  /** Milliseconds since the epoch; absent: it does not start any more. */
  readonly nextAt?: number | undefined;
  /** Started so late at the latest; later it is missed. */
  readonly lateSeconds: number;
  readonly last?: { readonly at: number; readonly rollout?: number | undefined; readonly text: string } | undefined;
  readonly cancelled: boolean;
  readonly createdAt: string;
  readonly createdBy: string;
}

export interface Ran {
  readonly at: number;
  readonly rollout?: number | undefined;
  readonly text: string;
  readonly nextAt: number | undefined;
}

const turnKey: PageKey<'turn' | 'number'> = [
  { column: 'turn', type: 'number' },
  { column: 'number', type: 'number' },
];

export class ScheduleRepository {
  constructor(private readonly db: Database) {}

  async create(schedule: Omit<RolloutSchedule, 'number' | 'last' | 'cancelled'>): Promise<RolloutSchedule> {
    const { workspace, order, cron = null, timeZone = null, nextAt = null, ...rest } = schedule;
    const { lateSeconds, createdAt, createdBy } = rest;
    const last = await this.db
      .selectFrom('rolloutSchedules')
      .select((query) => query.fn.max('number').as('number'))
      .where('workspace', '=', workspace)
      .executeTakeFirst();
    const row: RolloutScheduleTable = {
      ...{ workspace, number: Number(last?.number ?? 0) + 1, orderJson: JSON.stringify(order), cron, timeZone, nextAt },
      ...{ lateSeconds, state: 'waiting', lastAt: null, lastRollout: null, lastText: '', createdAt, createdBy },
    };
    await this.db.insertInto('rolloutSchedules').values(row).execute();
    return toSchedule(row);
  }

  /** Those that will start first, by when; then the others, newest first. */
  async list(workspace: string, page: PageRequest): Promise<Page<RolloutSchedule>> {
    // Above every instant, and the less the newer it is.
    const turn = sql<number>`coalesce(nextAt, ${Number.MAX_SAFE_INTEGER} - number)`.as('turn');
    const own = this.db.selectFrom('rolloutSchedules').selectAll().select(turn).where('workspace', '=', workspace);
    const { items, ...rest } = await inOrderOf(this.db.selectFrom(own.as('own')).selectAll(), turnKey, page);
    return { ...rest, items: items.map(toSchedule) };
  }

  /** Of every workspace; whose time has come. */
  async due(now: number): Promise<RolloutSchedule[]> {
    const rows = await this.db
      .selectFrom('rolloutSchedules')
      .selectAll()
      .where('nextAt', '<=', now)
      .orderBy('nextAt')
      .orderBy('workspace')
      .orderBy('number')
      .execute();
    return rows.map(toSchedule);
  }

  /** @returns false when somebody else has dealt with this time of it, or cancelled it */
  async ran({ workspace, number, nextAt }: RolloutSchedule, ran: Ran): Promise<boolean> {
    const result = await this.db
      .updateTable('rolloutSchedules')
      .set({
        ...{ lastAt: ran.at, lastRollout: ran.rollout ?? null, lastText: ran.text, nextAt: ran.nextAt ?? null },
        ...(ran.nextAt === undefined ? { state: 'over' } : {}),
      })
      .where('workspace', '=', workspace)
      .where('number', '=', number)
      .where('nextAt', '=', nextAt ?? null)
      .executeTakeFirst();
    return result.numUpdatedRows === 1n;
  }

  /** @throws AppError `schedule.not-found`, `rollout.state` for one that will not start any more */
  async cancel(workspace: string, number: number): Promise<void> {
    const row = await this.db
      .selectFrom('rolloutSchedules')
      .select('nextAt')
      .where('workspace', '=', workspace)
      .where('number', '=', number)
      .executeTakeFirst();
    const shows = 'flotilla rollout schedules shows those there are';
    if (row === undefined) {
      throw new AppError('schedule.not-found', `there is no schedule ${String(number)} in ${workspace}: ${shows}`);
    }
    if (row.nextAt === null) {
      throw new AppError('rollout.state', `schedule ${String(number)} does not start any more: ${shows}`);
    }
    await this.db
      .updateTable('rolloutSchedules')
      .set({ nextAt: null, state: 'cancelled' })
      .where('workspace', '=', workspace)
      .where('number', '=', number)
      .execute();
  }
}

function toSchedule(row: Selectable<RolloutScheduleTable>): RolloutSchedule {
  const { workspace, number, orderJson, cron, timeZone, nextAt, lateSeconds, state, createdAt, createdBy } = row;
  const order = JSON.parse(orderJson) as ScheduledOrder;
  return {
    ...{ workspace, number, lateSeconds, createdAt, createdBy, cancelled: state === 'cancelled' },
    order: { ...order, policy: rolloutPolicySchema.parse(order.policy) },
    ...(cron === null ? {} : { cron }),
    ...(timeZone === null ? {} : { timeZone }),
    ...(nextAt === null ? {} : { nextAt }),
    ...(row.lastAt === null
      ? {}
      : {
          last: {
            at: row.lastAt,
            text: row.lastText,
            ...(row.lastRollout === null ? {} : { rollout: row.lastRollout }),
          },
        }),
  };
}
