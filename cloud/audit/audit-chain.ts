/**
 * The chain of the audit log, purely: each row's hash covers all its columns and the hash of the row before it. The
 * first row follows the anchor, the last one is the head; so a row that is changed, removed, added or moved is found.
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { AuditEvent, AuditRow } from './audit-entry.js';

/** A row's place in the chain. */
export interface ChainPoint {
  readonly sequence: number;
  readonly hash: string;
}

export interface ChainEnds {
  /** The row before the first that is kept: sequence 0 and no hash before anything was removed. */
  readonly anchor: ChainPoint;
  readonly head: ChainPoint;
}

const longest = 512;

/** The row that follows `head`. */
export function nextRow(head: ChainPoint, event: AuditEvent, at: string): AuditRow {
  const row = {
    sequence: head.sequence + 1,
    at,
    workspace: event.workspace,
    actorKind: event.actor.kind,
    actorId: event.actor.id.slice(0, longest),
    actorName: event.actor.name?.slice(0, longest) ?? null,
    origin: event.from ?? null,
    action: event.action.slice(0, longest),
    target: event.target.slice(0, longest),
    outcome: event.outcome,
    detailsJson: canonicalJson(event.details ?? {}),
    previousHash: head.hash,
  };
  return { ...row, hash: hashOfRow(row) };
}

export function hashOfRow({ hash: _, ...covered }: Omit<AuditRow, 'hash'> & { readonly hash?: string }): string {
  return createHash('sha256').update(canonicalJson(covered)).digest('hex');
}

export interface ChainFault {
  /** The first entry that does not hold. */
  readonly sequence: number;
  readonly reason: string;
}

/** Takes the rows one after the other, and says where the chain breaks. */
export class ChainWalk {
  private last: ChainPoint;
  private count = 0;

  constructor(private readonly ends: ChainEnds) {
    this.last = ends.anchor;
  }

  get entries(): number {
    return this.count;
  }

  /** The fault of this row; undefined when it follows the one before and is as it was written. */
  step(row: AuditRow): ChainFault | undefined {
    const expected = this.last.sequence + 1;
    if (row.sequence !== expected) {
      return { sequence: expected, reason: `entry ${String(expected)} is not there` };
    }
    if (row.previousHash !== this.last.hash) {
      return { sequence: expected, reason: `entry ${String(expected)} does not follow the entry before it` };
    }
    if (hashOfRow(row) !== row.hash) {
      return { sequence: expected, reason: `entry ${String(expected)} is not as it was written` };
    }
    this.last = { sequence: row.sequence, hash: row.hash };
    this.count += 1;
    return undefined;
  }

  /** After the last row: is it the head? */
  end(): ChainFault | undefined {
    const { head } = this.ends;
    if (this.last.sequence === head.sequence && this.last.hash === head.hash) return undefined;
    const sequence = Math.min(this.last.sequence, head.sequence) + 1;
    return this.last.sequence === head.sequence
      ? { sequence: head.sequence, reason: `entry ${String(head.sequence)} is not the one that was written last` }
      : {
          sequence,
          reason: `the last entry is ${String(this.last.sequence)}, the last one written was ${String(head.sequence)}`,
        };
  }
}
