/**
 * The audit log: an append-only table of the control database, each row chained to the one before. A change is
 * announced by an intent before it is made, and the entry takes the intent's place before the answer leaves. A process
 * that dies in between leaves the intent, from which the next start makes an entry that says `interrupted`.
 */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import type { NewId } from '#shared/kernel/ids.js';
import type { ControlStore, ControlTransaction } from '#cloud/store/control-database.js';
import { nextRow } from './audit-chain.js';
import type { AuditDetails, AuditEvent, AuditOutcome } from './audit-entry.js';

export type { AuditDetails, AuditEvent, AuditOutcome } from './audit-entry.js';

export interface AuditIntent {
  readonly id: string;
  readonly event: Omit<AuditEvent, 'outcome'>;
}

export class AuditLog {
  constructor(
    private readonly db: ControlStore,
    private readonly clock: Clock,
    private readonly newId: NewId,
  ) {}

  /**
   * Durable when it resolves.
   *
   * @param within the transaction of the change itself, where there is one: both are there, or neither. Inside a
   *   transaction of the control database it must be given: there is one connection
   */
  async append(event: AuditEvent, within?: ControlTransaction): Promise<void> {
    if (within) await this.write(event, within);
    else await this.db.transaction().execute((transaction) => this.write(event, transaction));
  }

  /** Before a change is tried. Durable when it resolves. */
  async begin(event: Omit<AuditEvent, 'outcome'>): Promise<AuditIntent> {
    const intent = { id: this.newId(), event };
    const at = toInstant(this.clock.now());
    await this.db
      .insertInto('auditIntents')
      .values({ id: intent.id, eventJson: JSON.stringify(event), at })
      .execute();
    return intent;
  }

  /** After it, before anybody is told. */
  async finish({ id, event }: AuditIntent, outcome: AuditOutcome, details: AuditDetails = {}): Promise<void> {
    await this.db.transaction().execute(async (transaction) => {
      await this.write({ ...event, details: { ...event.details, ...details }, outcome }, transaction);
      await transaction.deleteFrom('auditIntents').where('id', '=', id).execute();
    });
  }

  /** At the start, before anything can begin. @returns how many changes an earlier process left open */
  async recover(): Promise<number> {
    const left = await this.db.selectFrom('auditIntents').selectAll().orderBy('at').execute();
    for (const { id, eventJson, at } of left) {
      const event = JSON.parse(eventJson) as AuditEvent;
      await this.finish({ id, event }, 'interrupted', { begunAt: at });
    }
    return left.length;
  }

  /**
   * Removes what is older; the last row that goes becomes the anchor that the first that stays follows, so that the
   * rest can still be verified.
   *
   * @returns how many entries went
   */
  async prune(before: string): Promise<number> {
    return this.db.transaction().execute(async (db) => {
      const chain = await db.selectFrom('auditChain').selectAll().executeTakeFirstOrThrow();
      const kept = await db
        .selectFrom('auditEntries')
        .select((query) => query.fn.min<number | null>('sequence').as('sequence'))
        .where('at', '>=', before)
        .executeTakeFirstOrThrow();
      const last = (kept.sequence ?? chain.headSequence + 1) - 1;
      if (last <= chain.anchorSequence) return 0;
      const { hash } = await db
        .selectFrom('auditEntries')
        .select('hash')
        .where('sequence', '=', last)
        .executeTakeFirstOrThrow();
      await db.updateTable('auditChain').set({ anchorSequence: last, anchorHash: hash }).execute();
      await db.deleteFrom('auditEntries').where('sequence', '<=', last).execute();
      const entries = last - chain.anchorSequence;
      await this.write(
        {
          ...{ workspace: null, actor: { kind: 'system', id: 'retention' }, from: undefined, action: 'audit.pruned' },
          ...{ target: `entries up to ${String(last)}`, details: { entries, before }, outcome: 'done' },
        },
        db,
      );
      return entries;
    });
  }

  private async write(event: AuditEvent, db: ControlTransaction): Promise<void> {
    const { headSequence, headHash } = await db.selectFrom('auditChain').selectAll().executeTakeFirstOrThrow();
    const row = nextRow({ sequence: headSequence, hash: headHash }, event, toInstant(this.clock.now()));
    await db.insertInto('auditEntries').values(row).execute();
    await db.updateTable('auditChain').set({ headSequence: row.sequence, headHash: row.hash }).execute();
  }
}
