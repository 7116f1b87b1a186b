/** Freeze periods of workspaces in SQL. */
import { toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { matchingDevices } from '#cloud/fleet/device-search.js';
import { parseQuery } from '#cloud/fleet/query/parse-query.js';
import { querySchema } from '#cloud/fleet/query/query-ast.js';
import { inOrderOf, type Page, type PageKey, type PageRequest } from '#cloud/store/page.js';
import type { FreezeTable } from '#cloud/store/rollout-tables.js';
import type { Freeze } from './freeze.js';

export interface FreezeOrder {
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly from: number;
  readonly until: number;
  /** Which devices, as in docs/fleets.md; empty: all. */
  readonly where: string;
  readonly reason: string;
  readonly by: string;
}

const freezeKey: PageKey<'startsAt' | 'name'> = [
  { column: 'startsAt', type: 'number' },
  { column: 'name', type: 'string' },
];

export class FreezeRepository {
  constructor(private readonly db: Database) {}

  /** @throws AppError `freeze.exists`, `query.invalid`, `request.invalid` for one that ends before it begins */
  async create(workspace: string, order: FreezeOrder, now: number): Promise<FreezeTable> {
    const { name, from, until, where, reason, by } = order;
    if (until <= from || until <= now) {
      throw new AppError(
        'request.invalid',
        `freeze ${name} would be over ${until <= from ? 'before it begins' : 'already'}: give --until a later time`,
      );
    }
    const row: FreezeTable = {
      ...{ workspace, name, startsAt: from, endsAt: until, whereText: where, reason, createdBy: by },
      queryJson: where === '' ? null : JSON.stringify(parseQuery(where)),
      createdAt: toInstant(now),
    };
    const result = await this.db
      .insertInto('freezes')
      .values(row)
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    if (result.numInsertedOrUpdatedRows === 1n) return row;
    throw new AppError('freeze.exists', `there is a freeze ${name} already: flotilla freeze delete ${name} ends it`);
  }

  /** The earliest first, those that are over included. */
  list(workspace: string, page: PageRequest): Promise<Page<FreezeTable>> {
    return inOrderOf(this.db.selectFrom('freezes').selectAll().where('workspace', '=', workspace), freezeKey, page);
  }

  /** @throws AppError `freeze.not-found` */
  async delete(workspace: string, name: string): Promise<void> {
    const result = await this.db
      .deleteFrom('freezes')
      .where('workspace', '=', workspace)
      .where('name', '=', name)
      .executeTakeFirst();
    if (result.numDeletedRows > 0n) return;
    const rows = await this.db.selectFrom('freezes').select('name').where('workspace', '=', workspace).execute();
    const near = nearest(
      name,
      rows.map((one) => one.name),
    );
    const help = near === undefined ? 'flotilla freeze list shows those there are' : `did you mean ${near}?`;
    throw new AppError('freeze.not-found', `there is no freeze ${name} in workspace ${workspace}: ${help}`);
  }

  /** What freezes say now to rollouts that count from an instant. */
  async since(workspace: string, from: number): Promise<Freeze[]> {
    const rows = await this.db
      .selectFrom('freezes')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('endsAt', '>', from)
      .execute();
    const freezes: Freeze[] = [];
    for (const { name, startsAt, endsAt, queryJson } of rows) {
      const base = { name, from: startsAt, until: endsAt };
      if (queryJson === null) {
        freezes.push(base);
        continue;
      }
      const query = querySchema.parse(JSON.parse(queryJson));
      const found = await matchingDevices(this.db, workspace, query).select('devices.name').execute();
      freezes.push({ ...base, devices: new Set(found.map((device) => device.name)) });
    }
    return freezes;
  }
}
