/** What `status` and `explain` show: plain data, with instants of the wall clock instead of our own. */
import { toInstant } from '#shared/kernel/clock.js';
import type { Problem } from '#shared/kernel/errors.js';
import type { Desired } from '#shared/protocol/desired.js';
import type { ReportedState } from '#shared/protocol/reported.js';
import type { AccessView } from '#agent/local/scoring-access.js';
import type { Observed } from '#agent/reconcile/observed.js';
import type { Waiting } from '#agent/reconcile/plan.js';
import type { PlanRecord } from '#agent/reconcile/reconciler.js';
import type { RouteView } from '#agent/routes/routes.js';
import type { Refusal } from '#agent/link/desired-inbox.js';

export interface StatusView {
  readonly workspace: string;
  readonly device: string;
  readonly agentVersion: string;
  readonly bootId: number;
  readonly pid: number;
  readonly link: { readonly connected: boolean; readonly problem?: string };
  /** Where gRPC answers; absent: nowhere. */
  readonly grpc?: { readonly address: string; readonly port: number };
  /** Who may score. */
  readonly access?: AccessView;
  readonly desired?: { readonly generation: number; readonly expiresAt: string; readonly expired: boolean };
  /** Where the local MQTT listener is; absent: it is not open. */
  readonly mqtt?: { readonly address: string; readonly port: number };
  readonly routes: readonly RouteView[];
  readonly spool: Readonly<Record<string, { readonly batches: number; readonly bytes: number }>>;
  readonly reported: ReportedState;
}

export interface ExplanationView {
  readonly status: StatusView;
  readonly desired: Desired | null;
  readonly observed: Observed;
  readonly waiting: readonly (Omit<Waiting, 'deadline' | 'opensAt'> & {
    readonly deadlineAt?: string;
    readonly opensAt?: string;
  })[];
  readonly refusals: readonly Refusal[];
  readonly refusedCommands: readonly { readonly id: string; readonly at: string; readonly problem: Problem }[];
  readonly plans: readonly {
    readonly at: string;
    readonly actions: readonly unknown[];
    readonly failures: readonly string[];
  }[];
}

/** @param offset wall clock minus monotonic clock, now */
export function waitingView(waiting: readonly Waiting[], offset: number): ExplanationView['waiting'] {
  return waiting.map((one) => {
    if ('opensAt' in one) return { ...one, opensAt: toInstant(one.opensAt) };
    if (!('deadline' in one)) return one;
    const { deadline, ...rest } = one;
    return { ...rest, deadlineAt: toInstant(deadline + offset) };
  });
}

export function plansView(records: readonly PlanRecord[]): ExplanationView['plans'] {
  return records.map(({ at, plan, failures }) => ({ at: toInstant(at), actions: plan.actions, failures }));
}
