/** Rules of alerts, what they stand at, and what has yet to be told of them, in the control database. */
import { type Selectable, sql } from 'kysely';
import type { AlertRuleTable, AlertStateTable } from '#cloud/store/alert-tables.js';
import type { ControlStore, ControlTransaction } from '#cloud/store/control-database.js';
import { inOrderOf, type Page, type PageKey, type PageRequest } from '#cloud/store/page.js';
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

const ruleKey: PageKey<'name'> = [{ column: 'name', type: 'string' }];
const stateKey: PageKey<'rule' | 'subject'> = [
  { column: 'rule', type: 'string' },
  { column: 'subject', type: 'string' },
];

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
    return rows.map(toRule);
  }

  /** By name. */
  async rulePage(workspace: string, page: PageRequest): Promise<Page<StoredRule>> {
    const all = this.db.selectFrom('alertRules').selectAll().where('workspace', '=', workspace);
    const { items, ...rest } = await inOrderOf(all, ruleKey, page);
    return { ...rest, items: items.map(toRule) };
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
    return rows.map(toState);
  }

  /** What fires or is about to, by rule and subject. @param rule only of this one */
  async alertPage(workspace: string, page: PageRequest, rule?: string): Promise<Page<StoredState>> {
    const all = this.db
      .selectFrom('alertStates')
      .select(['rule', 'subject', 'stateJson'])
      .where('workspace', '=', workspace)
      .where(sql<string>`json_extract(stateJson, '$.state')`, '!=', 'quiet');
    const asked = rule === undefined ? all : all.where('rule', '=', rule);
    const { items, ...rest } = await inOrderOf(asked, stateKey, page);
    return { ...rest, items: items.map(toState) };
  }

  /** Of how many subjects each rule fires; rules that do not are not there. */
  async firing(workspace: string): Promise<ReadonlyMap<string, number>> {
    const rows = await this.db
      .selectFrom('alertStates')
      .select((query) => ['rule', query.fn.countAll<number>().as('count')])
      .where('workspace', '=', workspace)
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

function toRule({ ruleJson, name: _, ...row }: Selectable<AlertRuleTable>): StoredRule {
  return { ...row, rule: JSON.parse(ruleJson) as AlertRule };
}

function toState({
  stateJson,
  ...row
}: Pick<Selectable<AlertStateTable>, 'rule' | 'subject' | 'stateJson'>): StoredState {
  return { ...row, state: JSON.parse(stateJson) as AlertState };
}
