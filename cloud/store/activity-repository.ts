/** Activities and their logs. A state only moves forward: each update names the states it may come from. */
import type { Selectable } from 'kysely';
import type { Problem } from '#shared/kernel/errors.js';
import type { ActivityTable } from './activity-tables.js';
import type { ControlStore } from './control-database.js';
import { inOrderOf, newestFirst, type Page, type PageKey, type PageRequest } from './page.js';

export type StoredActivity = Selectable<ActivityTable>;

export interface NewActivity {
  readonly id: string;
  readonly workspace: string;
  readonly kind: string;
  readonly subject: string;
  readonly input: unknown;
  readonly createdAt: string;
}

export type Ending =
  | { readonly state: 'succeeded'; readonly resource: string | null }
  | { readonly state: 'failed' | 'cancelled'; readonly problem: Problem };

const activityKey: PageKey<'createdAt' | 'id'> = [
  { column: 'createdAt', type: 'string' },
  { column: 'id', type: 'string' },
];

const logKey: PageKey<'id'> = [{ column: 'id', type: 'number' }];

export class ActivityRepository {
  constructor(private readonly db: ControlStore) {}

  within(transaction: ControlStore): ActivityRepository {
    return new ActivityRepository(transaction);
  }

  async insert(activity: NewActivity): Promise<StoredActivity> {
    const { input, ...row } = activity;
    return this.db
      .insertInto('activities')
      .values({
        ...row,
        state: 'not-started',
        inputJson: JSON.stringify(input),
        resource: null,
        problemJson: null,
        cancelRequested: 0,
        startedAt: null,
        endedAt: null,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
  }

  async find(workspace: string, id: string): Promise<StoredActivity | undefined> {
    return this.db
      .selectFrom('activities')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('id', '=', id)
      .executeTakeFirst();
  }

  /** Newest first. */
  async list(workspace: string, page: PageRequest): Promise<Page<StoredActivity>> {
    const query = this.db.selectFrom('activities').selectAll().where('workspace', '=', workspace);
    return newestFirst(query, activityKey, page);
  }

  /** The oldest that nobody started, now running; for the runner alone, hence over all workspaces. @param kinds none but these */
  async startNext(at: string, kinds?: readonly string[]): Promise<StoredActivity | undefined> {
    return this.db
      .updateTable('activities')
      .set({ state: 'running', startedAt: at })
      .where('id', '=', (query) =>
        query
          .selectFrom('activities')
          .select('id')
          .where('state', '=', 'not-started')
          .$if(kinds !== undefined, (all) => all.where('kind', 'in', kinds ?? []))
          .orderBy('createdAt')
          .orderBy('id')
          .limit(1),
      )
      .returningAll()
      .executeTakeFirst();
  }

  async listRunning(): Promise<readonly StoredActivity[]> {
    return this.db.selectFrom('activities').selectAll().where('state', '=', 'running').execute();
  }

  async backToStart(id: string): Promise<void> {
    await this.db
      .updateTable('activities')
      .set({ state: 'not-started', startedAt: null })
      .where('id', '=', id)
      .where('state', '=', 'running')
      .execute();
  }

  /** What it made, where that was written in the transaction that made it. */
  async resourceOf(id: string): Promise<string | null> {
    const row = await this.db.selectFrom('activities').select('resource').where('id', '=', id).executeTakeFirst();
    return row?.resource ?? null;
  }

  async requestCancel(workspace: string, id: string): Promise<void> {
    await this.db
      .updateTable('activities')
      .set({ cancelRequested: 1 })
      .where('workspace', '=', workspace)
      .where('id', '=', id)
      .execute();
  }

  /** Undefined when it had ended before. */
  async end(
    id: string,
    from: readonly StoredActivity['state'][],
    ending: Ending,
    at: string,
  ): Promise<StoredActivity | undefined> {
    const outcome =
      ending.state === 'succeeded' ? { resource: ending.resource } : { problemJson: JSON.stringify(ending.problem) };
    return this.db
      .updateTable('activities')
      .set({ state: ending.state, endedAt: at, ...outcome })
      .where('id', '=', id)
      .where('state', 'in', from)
      .returningAll()
      .executeTakeFirst();
  }

  async log(activity: string, at: string, text: string): Promise<void> {
    await this.db.insertInto('activityLog').values({ activity, at, text }).execute();
  }

  /** The oldest line first. */
  async readLog(activity: string, page: PageRequest): Promise<Page<{ at: string; text: string }>> {
    const all = this.db.selectFrom('activityLog').select(['id', 'at', 'text']).where('activity', '=', activity);
    const { items, ...rest } = await inOrderOf(all, logKey, page);
    return { ...rest, items: items.map(({ at, text }) => ({ at, text })) };
  }

  async countByState(): Promise<readonly { kind: string; state: string; count: number }[]> {
    return this.db
      .selectFrom('activities')
      .select((query) => ['kind', 'state', query.fn.countAll<number>().as('count')])
      .groupBy(['kind', 'state'])
      .execute();
  }
}
