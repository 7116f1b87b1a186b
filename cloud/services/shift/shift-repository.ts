/** Shifts in SQL: one row each, changed by compare-and-set on its revision, with a history that only grows. */
import type { Selectable } from 'kysely';
import { AppError } from '#shared/kernel/errors.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { GateVerdict } from '#cloud/rollout/gates/gate-model.js';
import { newestFirst, type Page, type PageRequest } from '#cloud/store/page.js';
import type { ShiftTable } from '#cloud/store/shift-tables.js';
import { isOver, type Shift } from './shift-model.js';
import { type ShiftPolicy, shiftPolicySchema } from './shift-policy.js';

export interface ShiftAddress {
  readonly workspace: string;
  /** The endpoint's id. */
  readonly endpoint: string;
  readonly number: number;
}

export interface StoredShift extends ShiftAddress {
  readonly policy: ShiftPolicy;
  readonly shift: Shift;
  readonly revision: number;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly updatedAt: string;
  readonly endedAt?: string | undefined;
}

export interface ShiftEntry {
  readonly at: string;
  /** `started`, `step`, `held`, `pause`, a state … */
  readonly kind: string;
  readonly text: string;
}

export interface StoredShiftVerdict extends GateVerdict {
  readonly stage: number;
  readonly at: string;
}

export class ShiftRepository {
  constructor(private readonly db: Database) {}

  within(transaction: Database): ShiftRepository {
    return new ShiftRepository(transaction);
  }

  async nextNumber(endpoint: string): Promise<number> {
    const row = await this.db
      .selectFrom('shifts')
      .select((query) => query.fn.max('number').as('last'))
      .where('endpoint', '=', endpoint)
      .executeTakeFirst();
    return (row?.last ?? 0) + 1;
  }

  async insert({ workspace, endpoint, number, policy, shift, revision, ...rest }: StoredShift): Promise<void> {
    const { createdAt, createdBy, updatedAt } = rest;
    await this.db
      .insertInto('shifts')
      .values({
        ...{ workspace, endpoint, number, target: shift.target.deployment, revision, state: shift.state },
        ...{ policyJson: JSON.stringify(policy), stateJson: JSON.stringify(shift) },
        ...{ createdAt, createdBy, updatedAt, endedAt: null },
      })
      .execute();
  }

  /** Of one endpoint, newest first. */
  async list(endpoint: string, page: PageRequest): Promise<Page<StoredShift>> {
    const found = this.db.selectFrom('shifts').selectAll().where('endpoint', '=', endpoint);
    const { items, ...rest } = await newestFirst(found, [{ column: 'number', type: 'number' }], page);
    return { ...rest, items: items.map(toStored) };
  }

  /** Of every endpoint; those that have not ended. */
  async open(): Promise<ShiftAddress[]> {
    return this.db
      .selectFrom('shifts')
      .select(['workspace', 'endpoint', 'number'])
      .where('endedAt', 'is', null)
      .orderBy('endpoint')
      .execute();
  }

  async openOf(endpoint: string): Promise<StoredShift | undefined> {
    const row = await this.db
      .selectFrom('shifts')
      .selectAll()
      .where('endpoint', '=', endpoint)
      .where('endedAt', 'is', null)
      .executeTakeFirst();
    return row && toStored(row);
  }

  async find({ endpoint, number }: Pick<ShiftAddress, 'endpoint' | 'number'>): Promise<StoredShift | undefined> {
    const row = await this.db
      .selectFrom('shifts')
      .selectAll()
      .where('endpoint', '=', endpoint)
      .where('number', '=', number)
      .executeTakeFirst();
    return row && toStored(row);
  }

  /** @throws AppError `shift.not-found` */
  async require({ id, name }: { readonly id: string; readonly name: string }, number: number): Promise<StoredShift> {
    const found = await this.find({ endpoint: id, number });
    if (found !== undefined) return found;
    const help = `flotilla endpoint shift list ${name} shows those there are`;
    throw new AppError('shift.not-found', `${name} has no shift ${String(number)}: ${help}`);
  }

  /** @returns false when somebody else has changed it since it was read */
  async compareAndSet({ endpoint, number, revision }: StoredShift, shift: Shift, at: string): Promise<boolean> {
    const result = await this.db
      .updateTable('shifts')
      .set({
        ...{ state: shift.state, stateJson: JSON.stringify(shift), revision: revision + 1, updatedAt: at },
        endedAt: isOver(shift.state) ? at : null,
      })
      .where('endpoint', '=', endpoint)
      .where('number', '=', number)
      .where('revision', '=', revision)
      .executeTakeFirst();
    return result.numUpdatedRows === 1n;
  }

  async note({ workspace, endpoint, number }: ShiftAddress, { at, kind, text }: ShiftEntry): Promise<void> {
    await this.db.insertInto('shiftHistory').values({ workspace, endpoint, shift: number, at, kind, text }).execute();
  }

  /** Newest first. */
  async history({ endpoint, number }: ShiftAddress, page: PageRequest): Promise<Page<ShiftEntry>> {
    const found = this.db
      .selectFrom('shiftHistory')
      .select(['id', 'at', 'kind', 'text'])
      .where('endpoint', '=', endpoint)
      .where('shift', '=', number);
    const { items, ...rest } = await newestFirst(found, [{ column: 'id', type: 'number' }], page);
    return { ...rest, items: items.map(({ at, kind, text }) => ({ at, kind, text })) };
  }

  /** What was said of the stage before is replaced. */
  async storeVerdicts(
    address: ShiftAddress,
    stage: number,
    at: string,
    verdicts: readonly GateVerdict[],
  ): Promise<void> {
    const { workspace, endpoint, number: shift } = address;
    await this.db
      .deleteFrom('shiftGates')
      .where((where) => where.and({ endpoint, shift, stage }))
      .execute();
    if (verdicts.length === 0) return;
    const rows = verdicts.map((verdict) => {
      const { gate, module } = verdict;
      return { workspace, endpoint, shift, stage, gate, module, at, verdictJson: JSON.stringify(verdict) };
    });
    await this.db.insertInto('shiftGates').values(rows).execute();
  }

  /** By stage, gate and module. */
  async verdicts({ endpoint, number }: ShiftAddress): Promise<StoredShiftVerdict[]> {
    const rows = await this.db
      .selectFrom('shiftGates')
      .select(['stage', 'at', 'verdictJson'])
      .where((where) => where.and({ endpoint, shift: number }))
      .orderBy('stage')
      .orderBy('gate')
      .orderBy('module')
      .execute();
    return rows.map(({ stage, at, verdictJson }) => ({ ...(JSON.parse(verdictJson) as GateVerdict), stage, at }));
  }
}

function toStored({
  policyJson,
  stateJson,
  endedAt,
  state: _state,
  target: _target,
  ...rest
}: Selectable<ShiftTable>): StoredShift {
  return {
    ...rest,
    policy: shiftPolicySchema.parse(JSON.parse(policyJson)),
    shift: JSON.parse(stateJson) as Shift,
    ...(endedAt === null ? {} : { endedAt }),
  };
}
