/** What must reach the broker, in the transaction that made it true. The newest row of a topic wins. */
import type { Database } from './device-repository.js';

export interface OutboxMessage {
  readonly workspace: string;
  readonly topic: string;
  readonly payload: string;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  readonly createdAt: string;
}

export interface OutboxRow {
  readonly id: number;
  readonly topic: string;
  readonly payload: string;
  readonly qos: 0 | 1;
  readonly retain: boolean;
}

export class OutboxRepository {
  constructor(private readonly db: Database) {}

  within(transaction: Database): OutboxRepository {
    return new OutboxRepository(transaction);
  }

  async add(message: OutboxMessage): Promise<void> {
    await this.db
      .insertInto('outbox')
      .values({ ...message, retain: message.retain ? 1 : 0 })
      .execute();
  }

  /** The newest row of each of up to `limit` topics, the longest waiting topics first. */
  async newestOfTopics(limit: number): Promise<OutboxRow[]> {
    const newest = this.db
      .selectFrom('outbox')
      .select((query) => query.fn.max<number>('id').as('id'))
      .groupBy('topic')
      .orderBy((query) => query.fn.min('id'))
      .limit(limit);
    const rows = await this.db
      .selectFrom('outbox')
      .select(['id', 'topic', 'payload', 'qos', 'retain'])
      .where('id', 'in', newest)
      .orderBy('id')
      .execute();
    return rows.map((row) => ({ ...row, qos: row.qos === 0 ? 0 : 1, retain: row.retain === 1 }));
  }

  /** Ends a row that the broker accepted, with those of its topic that it supersedes. */
  async remove(rows: readonly OutboxRow[]): Promise<void> {
    await this.db.transaction().execute(async (transaction) => {
      for (const { topic, id } of rows) {
        await transaction.deleteFrom('outbox').where('topic', '=', topic).where('id', '<=', id).execute();
      }
    });
  }

  async count(): Promise<number> {
    const row = await this.db
      .selectFrom('outbox')
      .select((query) => query.fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow();
    return Number(row.count);
  }
}
