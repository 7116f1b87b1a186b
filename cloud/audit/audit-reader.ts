/** Reading the audit log: by page for people, from end to end for who verifies it. */
import type { ControlStore } from '#cloud/store/control-database.js';
import { type ChainEnds, type ChainFault, type ChainPoint, ChainWalk } from './audit-chain.js';
import type { AuditRow } from './audit-entry.js';

export interface AuditQuery {
  /** Null: all of the installation. */
  readonly workspace: string | null;
  readonly limit: number;
  readonly order: 'newest' | 'oldest';
  /** The sequence after which to go on, in the order asked for. */
  readonly cursor?: number | undefined;
  /** Not before this instant. */
  readonly since?: string | undefined;
  /** An actor's id or name, whole. */
  readonly actor?: string | undefined;
  /** A part of what was done. */
  readonly action?: string | undefined;
}

export class AuditReader {
  constructor(private readonly db: ControlStore) {}

  async ends(): Promise<ChainEnds> {
    const row = await this.db.selectFrom('auditChain').selectAll().executeTakeFirstOrThrow();
    return {
      anchor: { sequence: row.anchorSequence, hash: row.anchorHash },
      head: { sequence: row.headSequence, hash: row.headHash },
    };
  }

  async page({ workspace, limit, order, cursor, since, actor, action }: AuditQuery): Promise<readonly AuditRow[]> {
    let query = this.db
      .selectFrom('auditEntries')
      .selectAll()
      .orderBy('sequence', order === 'newest' ? 'desc' : 'asc')
      .limit(limit);
    if (workspace !== null) query = query.where('workspace', '=', workspace);
    if (cursor !== undefined) query = query.where('sequence', order === 'newest' ? '<' : '>', cursor);
    if (since !== undefined) query = query.where('at', '>=', since);
    if (actor !== undefined) {
      query = query.where((where) => where.or([where('actorId', '=', actor), where('actorName', '=', actor)]));
    }
    if (action !== undefined) {
      query = query.where((where) => where(where.fn('instr', ['action', where.val(action)]), '>', 0));
    }
    return query.execute();
  }
}

export interface AuditVerdict {
  readonly entries: number;
  readonly head: ChainPoint;
  /** Undefined: every entry is as it was written. */
  readonly fault?: ChainFault | undefined;
}

const pageSize = 500;

/**
 * Walks the chain from its anchor to its head, as it was when this began.
 *
 * @param after up to `limit` rows that follow this sequence, oldest first
 * @param noted a head that was noted earlier, elsewhere: it must still be in the chain, as it was
 */
export async function verifyAudit(
  ends: ChainEnds,
  after: (sequence: number, limit: number) => Promise<readonly AuditRow[]>,
  noted?: ChainPoint,
): Promise<AuditVerdict> {
  const walk = new ChainWalk(ends);
  const { head } = ends;
  let last = ends.anchor.sequence;
  let seen = noted === undefined || noted.sequence <= ends.anchor.sequence;
  for (;;) {
    const rows = (await after(last, pageSize)).filter(({ sequence }) => sequence <= head.sequence);
    for (const row of rows) {
      const fault = walk.step(row);
      if (fault) return { entries: walk.entries, head, fault };
      if (row.sequence === noted?.sequence) {
        if (row.hash !== noted.hash) {
          const reason = `entry ${String(row.sequence)} is another than the one that was noted: the log was written anew`;
          return { entries: walk.entries, head, fault: { sequence: row.sequence, reason } };
        }
        seen = true;
      }
      last = row.sequence;
    }
    if (rows.length === 0) break;
  }
  const fault =
    walk.end() ??
    (seen || noted === undefined
      ? undefined
      : { sequence: head.sequence + 1, reason: `entry ${String(noted.sequence)}, which was noted, is not there` });
  return { entries: walk.entries, head, ...(fault === undefined ? {} : { fault }) };
}
