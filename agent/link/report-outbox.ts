/**
 * When to report, and what. Pure. Invariants: one report is under way at a time, so every diff stands
 * on exactly what the control plane holds; at most one a second; what was not acknowledged when the
 * connection ended, or within the patience, is followed by the whole.
 */
import { diffReported, type ReportedPatch, type ReportedState } from '#shared/protocol/reported.js';

export interface OutboxState {
  readonly sequence: number;
  /** What the control plane is known to hold. */
  readonly acknowledged?: { readonly sequence: number; readonly state: ReportedState };
  readonly sent?: { readonly sequence: number; readonly state: ReportedState; readonly at: number };
  readonly lastSentAt: number;
  readonly up: boolean;
  /** Asked for, by the control plane or by doubt. */
  readonly whole: boolean;
}

export interface OutboxPolicy {
  readonly minIntervalMs: number;
  readonly patienceMs: number;
}

export const defaultOutboxPolicy: OutboxPolicy = { minIntervalMs: 1_000, patienceMs: 15_000 };

export const emptyOutbox: OutboxState = {
  sequence: 0,
  lastSentAt: Number.NEGATIVE_INFINITY,
  up: false,
  whole: true,
};

export type OutboxFact =
  | { readonly kind: 'link'; readonly up: boolean }
  | { readonly kind: 'acknowledged'; readonly upTo: number }
  | { readonly kind: 'wholeAsked' }
  | { readonly kind: 'sent'; readonly sequence: number; readonly state: ReportedState; readonly at: number };

export function changeOutbox(outbox: OutboxState, fact: OutboxFact): OutboxState {
  switch (fact.kind) {
    case 'link': {
      const { sent, ...rest } = outbox;
      return { ...rest, up: fact.up, whole: outbox.whole || sent !== undefined };
    }
    case 'acknowledged': {
      const { sent, ...rest } = outbox;
      if (sent === undefined || fact.upTo < sent.sequence) return outbox;
      return { ...rest, acknowledged: { sequence: sent.sequence, state: sent.state } };
    }
    case 'wholeAsked': {
      const { sent: _late, ...rest } = outbox;
      return { ...rest, whole: true };
    }
    case 'sent':
      return {
        ...outbox,
        sequence: fact.sequence,
        sent: { sequence: fact.sequence, state: fact.state, at: fact.at },
        lastSentAt: fact.at,
        whole: false,
      };
  }
}

export type OutboxStep =
  | { readonly kind: 'send'; readonly sequence: number; readonly base?: number; readonly patch: ReportedPatch }
  /** Look again then. */
  | { readonly kind: 'wait'; readonly until: number }
  | { readonly kind: 'nothing' };

export function nextReport(outbox: OutboxState, state: ReportedState, now: number, policy: OutboxPolicy): OutboxStep {
  if (!outbox.up) return { kind: 'nothing' };
  const overdue = outbox.sent === undefined ? undefined : outbox.sent.at + policy.patienceMs;
  if (overdue !== undefined && now < overdue) return { kind: 'wait', until: overdue };
  const base = outbox.acknowledged;
  const whole = outbox.whole || overdue !== undefined || base === undefined;
  const patch = whole ? state : diffReported(base.state, state);
  if (patch === undefined) return { kind: 'nothing' };
  const due = outbox.lastSentAt + policy.minIntervalMs;
  if (now < due) return { kind: 'wait', until: due };
  const sequence = outbox.sequence + 1;
  return whole ? { kind: 'send', sequence, patch } : { kind: 'send', sequence, base: base.sequence, patch };
}
