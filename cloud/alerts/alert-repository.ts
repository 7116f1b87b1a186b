/** Rules of alerts, what they stand at, and what has yet to be told of them, in the control database. */
import { sql } from 'kysely';
import type { ControlStore, ControlTransaction } from '#cloud/store/control-database.js';
import { decodeCursor, encodeCursor, type Page, type PageRequest } from '#cloud/store/page.js';
import type { Notice } from './alert-notice.js';
import type { AlertRule } from './alert-rule.js';
import type { AlertState } from './plan.js';

export interface StoredRule {
  readonly workspace: string;
  readonly rule: AlertRule;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface StoredState {
  readonly rule: string;
  readonly subject: string;
  readonly state: AlertState;
}

export interface OutboxNotice {
  readonly id: number;
  readonly workspace: string;
  readonly destination: string;
  readonly notice: Notice;
  readonly attempts: number;
  readonly createdAt: number;
}

/** Where every notice goes: the log of the control plane, and who follows its events. */
export const announcement = '';

export class AlertRepository {
  constructor(private readonly db: ControlStore | ControlTransaction) {}

  /** All of it or nothing. */
  transaction<T>(work: (alerts: AlertRepository) => Promise<T>): Promise<T> {
    return this.db.transaction().execute((transaction) => work(new AlertRepository(transaction)));
  }

  async rules(workspace?: string): Promise<StoredRule[]> {
    const all = this.db.selectFrom('alertRules').selectAll().orderBy('workspace').orderBy('name');
    const rows = await (workspace === undefined ? all : all.where('workspace', '=', workspace)).execute();
    return rows.map(({ ruleJson, name: _, ...row }) => ({ ...row, rule: JSON.parse(ruleJson) as AlertRule }));
  }

  async rule(workspace: string, name: string): Promise<StoredRule | undefined> {
    return (await this.rules(workspace)).find(({ rule }) => rule.name === name);
  }

  async putRule({ workspace, rule, createdAt, updatedAt }: StoredRule): Promise<void> {
    const ruleJson = JSON.stringify(rule);
    await this.db
      .insertInto('alertRules')
      .values({ workspace, name: rule.name, ruleJson, createdAt, updatedAt })
      .onConflict((conflict) => conflict.columns(['workspace', 'name']).doUpdateSet({ ruleJson, updatedAt }))
      .execute();
  }

  async removeRule(workspace: string, name: string): Promise<void> {
    await this.removeStates(workspace, name);
    await this.db.deleteFrom('alertRules').where('workspace', '=', workspace).where('name', '=', name).execute();
  }

  async states(workspace: string, rule?: string): Promise<StoredState[]> {
    const all = this.db
      .selectFrom('alertStates')
      .select(['rule', 'subject', 'stateJson'])
      .where('workspace', '=', workspace)
      .orderBy('rule')
      .orderBy('subject');
    const rows = await (rule === undefined ? all : all.where('rule', '=', rule)).execute();
    return rows.map(({ stateJson, ...row }) => ({ ...row, state: JSON.parse(stateJson) as AlertState }));
  }

  /** Of those that fire or are about to, by rule and subject. */
  async standing(workspace: string, { limit, cursor }: PageRequest): Promise<Page<StoredState>> {
    const query = this.db
      .selectFrom('alertStates')
      .select(['rule', 'subject', 'stateJson'])
      .where('workspace', '=', workspace)
      .where(sql<boolean>`json_extract(stateJson, '$.state') <> 'quiet'`)
      .orderBy('rule')
      .orderBy('subject')
      .limit(limit + 1);
    const after = cursor === undefined ? undefined : decodeCursor(cursor, ['string', 'string']);
    const rows = await (after === undefined
      ? query
      : query.where(sql<boolean>`(rule, subject) > (${sql.join(after)})`)
    ).execute();
    const items = rows
      .slice(0, limit)
      .map(({ stateJson, ...row }) => ({ ...row, state: JSON.parse(stateJson) as AlertState }));
    const last = rows.length > limit ? items.at(-1) : undefined;
    return last === undefined ? { items } : { items, next: encodeCursor([last.rule, last.subject]) };
  }

  /** How many fire, by rule; of others nothing. */
  async firing(workspace: string): Promise<ReadonlyMap<string, number>> {
    const rows = await this.db
      .selectFrom('alertStates')
      .select((query) => ['rule', query.fn.countAll<number>().as('count')])
      .where('workspace', '=', workspace)
      // As the index has it: a parameter would not be known to be 1.
      .where('firing', '=', sql.lit(1))
      .groupBy('rule')
      .execute();
    return new Map(rows.map(({ rule, count }) => [rule, count]));
  }

  /** @param state undefined: there is nothing to remember */
  async putState(workspace: string, rule: string, subject: string, state: AlertState | undefined): Promise<void> {
    if (state === undefined) {
      await this.db
        .deleteFrom('alertStates')
        .where('workspace', '=', workspace)
        .where('rule', '=', rule)
        .where('subject', '=', subject)
        .execute();
      return;
    }
    const firing = state.state === 'firing' ? 1 : 0;
    await this.db
      .replaceInto('alertStates')
      .values({ workspace, rule, subject, firing, stateJson: JSON.stringify(state) })
      .execute();
  }

  async removeStates(workspace: string, rule: string): Promise<void> {
    await this.db.deleteFrom('alertStates').where('workspace', '=', workspace).where('rule', '=', rule).execute();
  }

  async countFiring(): Promise<{ readonly workspace: string; readonly count: number }[]> {
    return this.db
      .selectFrom('alertStates')
      .select((query) => ['workspace', query.fn.countAll<number>().as('count')])
      .where('firing', '=', sql.lit(1))
      .groupBy('workspace')
      .execute();
  }

  /** For each of them once, and once to announce it. */
  async addNotice(notice: Notice, destinations: readonly string[], atMs: number): Promise<void> {
    for (const destination of [announcement, ...destinations]) {
      await this.db
        .insertInto('alertOutbox')
        .values({
          ...{ workspace: notice.workspace, destination, payload: JSON.stringify(notice) },
          ...{ attempts: 0, nextAt: atMs, createdAt: atMs },
        })
        .execute();
    }
  }

  /** Of each destination the notice that waits longest, where its time has come: one is told after the other. */
  async due(nowMs: number): Promise<OutboxNotice[]> {
    const first = this.db
      .selectFrom('alertOutbox')
      .select((query) => query.fn.min<number>('id').as('id'))
      .groupBy('destination');
    const rows = await this.db
      .selectFrom('alertOutbox')
      .selectAll()
      .where('id', 'in', first)
      .where('nextAt', '<=', nowMs)
      .execute();
    return rows.map(({ payload, nextAt: _, ...row }) => ({ ...row, notice: JSON.parse(payload) as Notice }));
  }

  async told(id: number): Promise<void> {
    await this.db.deleteFrom('alertOutbox').where('id', '=', id).execute();
  }

  async putOff(id: number, attempts: number, nextAt: number): Promise<void> {
    await this.db.updateTable('alertOutbox').set({ attempts, nextAt }).where('id', '=', id).execute();
  }

  async cursors(): Promise<{ readonly workspace: string; readonly eventId: number }[]> {
    return this.db.selectFrom('alertCursors').selectAll().execute();
  }

  async cursor(workspace: string): Promise<number | undefined> {
    return (await this.cursors()).find((one) => one.workspace === workspace)?.eventId;
  }

  async putCursor(workspace: string, eventId: number): Promise<void> {
    await this.db.replaceInto('alertCursors').values({ workspace, eventId }).execute();
  }

  async removeCursor(workspace: string): Promise<void> {
    await this.db.deleteFrom('alertCursors').where('workspace', '=', workspace).execute();
  }
}
