/** Saved queries in SQL. */
import type { Selectable } from 'kysely';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import type { FleetTable } from '#cloud/store/tables.js';
import type { Database } from './device-repository.js';
import { parseQuery } from './query/parse-query.js';
import { type Query, querySchema } from './query/query-ast.js';

export interface Fleet {
  readonly workspace: string;
  readonly name: string;
  readonly description: string;
  /** As it was written. */
  readonly where: string;
  /** As it was understood when it was saved: a later grammar changes no fleet. */
  readonly query: Query;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface FleetChange {
  readonly where?: string | undefined;
  readonly description?: string | undefined;
}

export class FleetRepository {
  constructor(private readonly db: Database) {}

  /** @throws AppError `fleet.exists`, `query.invalid` */
  async create(workspace: string, name: string, where: string, description: string, at: string): Promise<Fleet> {
    const row = { ...columnsOf(where), workspace, name, description, createdAt: at, updatedAt: at };
    const result = await this.db
      .insertInto('fleets')
      .values(row)
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    if (result.numInsertedOrUpdatedRows === 1n) return toFleet(row);
    throw new AppError(
      'fleet.exists',
      `workspace ${workspace} has a fleet ${name} already: flotilla fleet update ${name} --where changes its query`,
    );
  }

  /** By name; `after` is the last name of the page before. */
  async list(workspace: string, limit: number, after?: string): Promise<Fleet[]> {
    const query = this.db
      .selectFrom('fleets')
      .selectAll()
      .where('workspace', '=', workspace)
      .orderBy('name')
      .limit(limit);
    const rows = await (after === undefined ? query : query.where('name', '>', after)).execute();
    return rows.map(toFleet);
  }

  /** @throws AppError `fleet.not-found` */
  async require(workspace: string, name: string): Promise<Fleet> {
    const row = await this.db
      .selectFrom('fleets')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('name', '=', name)
      .executeTakeFirst();
    if (row) return toFleet(row);
    throw await this.notFound(workspace, name);
  }

  /** @throws AppError `fleet.not-found`, `query.invalid` */
  async update(workspace: string, name: string, { where, description }: FleetChange, at: string): Promise<Fleet> {
    await this.db
      .updateTable('fleets')
      .set({
        ...(where === undefined ? {} : columnsOf(where)),
        ...(description === undefined ? {} : { description }),
        updatedAt: at,
      })
      .where('workspace', '=', workspace)
      .where('name', '=', name)
      .execute();
    return this.require(workspace, name);
  }

  /** @throws AppError `fleet.not-found` */
  async delete(workspace: string, name: string): Promise<void> {
    const result = await this.db
      .deleteFrom('fleets')
      .where('workspace', '=', workspace)
      .where('name', '=', name)
      .executeTakeFirst();
    if (result.numDeletedRows === 0n) throw await this.notFound(workspace, name);
  }

  private async notFound(workspace: string, name: string): Promise<AppError> {
    const rows = await this.db.selectFrom('fleets').select('name').where('workspace', '=', workspace).execute();
    const near = nearest(
      name,
      rows.map((row) => row.name),
    );
    const help = near === undefined ? 'flotilla fleet list shows those there are' : `did you mean ${near}?`;
    return new AppError('fleet.not-found', `there is no fleet ${name} in workspace ${workspace}: ${help}`);
  }
}

function columnsOf(where: string): Pick<FleetTable, 'queryText' | 'queryJson'> {
  return { queryText: where, queryJson: JSON.stringify(parseQuery(where)) };
}

function toFleet({ queryText, queryJson, ...row }: Selectable<FleetTable>): Fleet {
  return { ...row, where: queryText, query: querySchema.parse(JSON.parse(queryJson)) };
}
