/** Rollouts in SQL: one row each, changed by compare-and-set on its revision, with a history that only grows. */
import type { Selectable } from 'kysely';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { type Query, querySchema } from '#cloud/fleet/query/query-ast.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { Page, PageRequest } from '#cloud/store/page.js';
import type { RolloutTable } from '#cloud/store/rollout-tables.js';
import { type RolloutPolicy, rolloutPolicySchema } from './policy.js';
import { isFinal, type Rollout } from './rollout-model.js';

export interface RolloutAddress {
  readonly workspace: string;
  readonly number: number;
}

export interface StoredRollout extends RolloutAddress {
  /** As name:version. */
  readonly release: string;
  readonly fleet: string;
  readonly query: Query;
  readonly policy: RolloutPolicy;
  readonly rollout: Rollout;
  readonly revision: number;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly updatedAt: string;
  readonly endedAt?: string | undefined;
}

export interface HistoryEntry {
  readonly at: string;
  /** `started`, `wave`, `held`, `paused`, `assigned`, a standing … */
  readonly kind: string;
  readonly device?: string | undefined;
  readonly text: string;
}

const cursorForm = z.coerce.number().int().min(0);

export class RolloutRepository {
  constructor(private readonly db: Database) {}

  within(transaction: Database): RolloutRepository {
    return new RolloutRepository(transaction);
  }

  async nextNumber(workspace: string): Promise<number> {
    const row = await this.db
      .selectFrom('rollouts')
      .select((query) => query.fn.max('number').as('last'))
      .where('workspace', '=', workspace)
      .executeTakeFirst();
    return (row?.last ?? 0) + 1;
  }

  async insert(stored: StoredRollout): Promise<void> {
    const { workspace, number, release, fleet, query, policy, rollout, revision } = stored;
    await this.db
      .insertInto('rollouts')
      .values({
        ...{ workspace, number, release, fleet, revision, state: rollout.state, endedAt: null },
        ...{ queryJson: JSON.stringify(query), policyJson: JSON.stringify(policy) },
        ...{ stateJson: JSON.stringify(rollout), createdAt: stored.createdAt, createdBy: stored.createdBy },
        updatedAt: stored.updatedAt,
      })
      .execute();
  }

  /** Newest first. */
  async list(workspace: string, page: PageRequest): Promise<Page<StoredRollout>> {
    let query = this.db
      .selectFrom('rollouts')
      .selectAll()
      .where('workspace', '=', workspace)
      .orderBy('number', 'desc')
      .limit(page.limit + 1);
    if (page.cursor !== undefined) query = query.where('number', '<', parseCursor(page.cursor));
    const rows = await query.execute();
    const items = rows.slice(0, page.limit).map(toStored);
    const last = items.at(-1);
    return rows.length > page.limit && last ? { items, next: String(last.number) } : { items };
  }

  /** Of every workspace; those that have not ended. */
  async listUnderWay(): Promise<RolloutAddress[]> {
    return this.db
      .selectFrom('rollouts')
      .select(['workspace', 'number'])
      .where('endedAt', 'is', null)
      .orderBy('workspace')
      .orderBy('number')
      .execute();
  }

  async find({ workspace, number }: RolloutAddress): Promise<StoredRollout | undefined> {
    const row = await this.db
      .selectFrom('rollouts')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('number', '=', number)
      .executeTakeFirst();
    return row && toStored(row);
  }

  /** @throws AppError `rollout.not-found` */
  async require(address: RolloutAddress): Promise<StoredRollout> {
    const found = await this.find(address);
    if (found !== undefined) return found;
    throw new AppError(
      'rollout.not-found',
      `there is no rollout ${String(address.number)} in workspace ${address.workspace}: flotilla rollout list shows those there are`,
    );
  }

  /** @returns false when somebody else has changed it since it was read */
  async compareAndSet({ workspace, number, revision }: StoredRollout, rollout: Rollout, at: string): Promise<boolean> {
    const result = await this.db
      .updateTable('rollouts')
      .set({
        ...{ state: rollout.state, stateJson: JSON.stringify(rollout), revision: revision + 1, updatedAt: at },
        endedAt: isFinal(rollout.state) ? at : null,
      })
      .where('workspace', '=', workspace)
      .where('number', '=', number)
      .where('revision', '=', revision)
      .executeTakeFirst();
    return result.numUpdatedRows === 1n;
  }

  async note({ workspace, number }: RolloutAddress, { at, kind, device = null, text }: NewEntry): Promise<void> {
    await this.db.insertInto('rolloutHistory').values({ workspace, rollout: number, at, kind, device, text }).execute();
  }

  /** Newest first. */
  async history(
    { workspace, number }: RolloutAddress,
    page: PageRequest,
  ): Promise<{ items: HistoryEntry[]; next?: string }> {
    let query = this.db
      .selectFrom('rolloutHistory')
      .select(['id', 'at', 'kind', 'device', 'text'])
      .where('workspace', '=', workspace)
      .where('rollout', '=', number)
      .orderBy('id', 'desc')
      .limit(page.limit + 1);
    if (page.cursor !== undefined) query = query.where('id', '<', parseCursor(page.cursor));
    const rows = await query.execute();
    const shown = rows.slice(0, page.limit);
    const items = shown.map(({ at, kind, device, text }) => ({
      at,
      kind,
      text,
      ...(device === null ? {} : { device }),
    }));
    const last = shown.at(-1);
    return rows.length > page.limit && last ? { items, next: String(last.id) } : { items };
  }
}

export interface NewEntry extends Omit<HistoryEntry, 'device'> {
  readonly device?: string | null | undefined;
}

function parseCursor(cursor: string): number {
  const parsed = cursorForm.safeParse(cursor);
  if (parsed.success) return parsed.data;
  throw new AppError('request.invalid', 'query: cursor: not a cursor of this list; leave it out to start anew');
}

function toStored(row: Selectable<RolloutTable>): StoredRollout {
  const { queryJson, policyJson, stateJson, endedAt, state: _state, ...rest } = row;
  return {
    ...rest,
    query: querySchema.parse(JSON.parse(queryJson)),
    policy: rolloutPolicySchema.parse(JSON.parse(policyJson)),
    rollout: JSON.parse(stateJson) as Rollout,
    ...(endedAt === null ? {} : { endedAt }),
  };
}
