/**
 * What a service host does next: replicas to start, start again, drain and end. Pure, and indifferent to the order
 * of its inputs. A deployment is brought to what is desired without ever having fewer replicas ready than it had, or
 * than are wanted; what is desired proves itself with one replica before there are more; and when it does not start,
 * what was ready before it goes on.
 */
import { errorRegistry, type Problem } from '#shared/kernel/errors.js';
import { decideRestart } from '#shared/supervisor/restart-policy.js';
import type { DesiredDeployment, DesiredServices } from '../desired-services.js';
import { wantedOf } from './autoscale.js';
import {
  grouped,
  isAboutTrust,
  isOf,
  keyOf,
  type ObservedReplica,
  type ObservedServices,
  type ObservedVersion,
  type ReplicaOf,
  versionOf,
} from './observed.js';

export interface ServicePolicy {
  /** Replicas that a deployment may have beyond those wanted while it is updated. */
  readonly surge: number;
  /** Starts in a row after which what never was ready counts as failed. */
  readonly maxFailedStarts: number;
  /** When what failed for a reason that may pass is tried once more. */
  readonly retryFailedMs: number;
  /** How many replicas of all deployments may start at the same time. */
  readonly maxStarting: number;
}

export type ServiceAction =
  | { readonly kind: 'start'; readonly of: ReplicaOf; readonly spec: DesiredDeployment }
  | { readonly kind: 'restart' | 'drain' | 'end'; readonly sequence: number };

export interface ServiceWait {
  readonly key: string;
  readonly what: 'restart' | 'retry' | 'turn';
  /** Monotonic milliseconds; absent: until something happens. */
  readonly atMs?: number;
}

export interface ServicePlan {
  readonly actions: readonly ServiceAction[];
  readonly waiting: readonly ServiceWait[];
}

interface Situation {
  readonly of: { readonly endpoint: string; readonly deployment: string };
  readonly key: string;
  /** What it is to be. */
  readonly target: DesiredDeployment;
  /** It was ready once; until then there is one replica of it. */
  readonly works: boolean;
  /** It does not start, and is not tried now. */
  readonly failed: boolean;
  /** What answers until the target has proved itself, or instead of it. */
  readonly kept: DesiredDeployment | undefined;
  readonly wanted: number;
  readonly replicas: readonly ObservedReplica[];
}

/** How many more may start now; shared by all deployments of one plan. */
interface Turns {
  left: number;
}

export function planServices(
  desired: DesiredServices | undefined,
  observed: ObservedServices,
  nowMs: number,
  policy: ServicePolicy,
): ServicePlan {
  // Nobody has said yet what is to run; there is nothing that runs either.
  const endpoints = desired?.endpoints ?? [];
  const starting = observed.replicas.filter(({ state }) => state === 'starting').length;
  const turns: Turns = { left: Math.max(0, policy.maxStarting - starting) };
  const plans: ServicePlan[] = [];
  const replicas = grouped(observed.replicas.toSorted(bySequence), keyOf);
  const versions = grouped(observed.versions, keyOf);
  const known = new Set<string>();
  const specs = endpoints.flatMap(({ id, deployments }) =>
    deployments.map((spec) => ({ of: { endpoint: id, deployment: spec.name }, spec })),
  );
  for (const { of, spec } of specs.toSorted((a, b) => compare(keyOf(a.of), keyOf(b.of)))) {
    const key = keyOf(of);
    known.add(key);
    const version = versions.get(key)?.find((one) => isOf(one, { ...of, version: versionOf(spec) }));
    const { situation, waiting } = judge(of, spec, version, replicas.get(key) ?? [], observed, nowMs, policy);
    const plan = planDeployment(situation, nowMs, policy, turns);
    plans.push(plan, { actions: [], waiting });
  }
  const orphans = observed.replicas.filter((one) => !known.has(keyOf(one))).toSorted(bySequence);
  plans.push({ actions: orphans.flatMap((one) => letGo(one)), waiting: [] });
  return { actions: plans.flatMap((plan) => plan.actions), waiting: plans.flatMap((plan) => plan.waiting) };
}

/** Whether what never was ready counts as failed; `untilMs` where it is tried again then. */
export function failureOf(
  version: ObservedVersion | undefined,
  policy: ServicePolicy,
): { readonly untilMs: number | undefined; readonly problem: Problem | undefined } | undefined {
  if (version === undefined || version.wasReady || version.failedStarts === 0) return undefined;
  const { problem, failedAtMs } = version;
  const isFinal = problem !== undefined && (errorRegistry[problem.code].retry === 'never' || isAboutTrust(problem));
  if (!isFinal && version.failedStarts < policy.maxFailedStarts) return undefined;
  return { untilMs: isFinal ? undefined : failedAtMs + policy.retryFailedMs, problem };
}

function judge(
  of: Situation['of'],
  spec: DesiredDeployment,
  known: ObservedVersion | undefined,
  replicas: readonly ObservedReplica[],
  observed: ObservedServices,
  nowMs: number,
  policy: ServicePolicy,
): { situation: Situation; waiting: ServiceWait[] } {
  const key = keyOf(of);
  const keptOne = observed.kept[key];
  const version = versionOf(spec);
  const works = known?.wasReady === true || (keptOne !== undefined && versionOf(keptOne) === version);
  const kept = works || keptOne === undefined ? undefined : keptOne;
  const failure = works ? undefined : failureOf(known, policy);
  const stands = failure !== undefined && (failure.untilMs === undefined || nowMs < failure.untilMs);
  const waiting: ServiceWait[] =
    stands && failure.untilMs !== undefined ? [{ key, what: 'retry', atMs: failure.untilMs }] : [];
  const wanted = wantedOf(spec.scale, observed.wanted[key]);
  return { situation: { of, key, wanted, replicas, target: spec, works, failed: stands, kept }, waiting };
}

function planDeployment(
  { of, key, target, works, failed, kept, wanted, replicas }: Situation,
  nowMs: number,
  policy: ServicePolicy,
  turns: Turns,
): ServicePlan {
  const actions: ServiceAction[] = [];
  const waiting: ServiceWait[] = [];
  const version = versionOf(target);
  const keptVersion = kept === undefined ? undefined : versionOf(kept);
  const active = replicas.filter(({ state }) => state !== 'draining');
  let ready = active.filter(({ state }) => state === 'ready').length;
  const staying: ObservedReplica[] = [];
  let room = { target: failed ? 0 : wanted, kept: wanted };
  /** Of other versions, on their way out: they have their room still. */
  let left = replicas.filter((one) => one.state === 'draining' && one.version !== version).length;

  // Those that answer come first: they stay before those that do not.
  for (const one of active.toSorted(byWorth)) {
    const role = one.version === version ? 'target' : one.version === keptVersion ? 'kept' : 'neither';
    const isWanted = role !== 'neither' && room[role] > 0;
    if (isWanted && (role === 'target' || !works)) {
      room = { ...room, [role]: room[role] - 1 };
      staying.push(one);
    } else if (one.state !== 'ready') {
      if (role !== 'target') left += 1;
      actions.push(...letGo(one));
    } else if (ready > wanted) {
      ready -= 1;
      if (role !== 'target') left += 1;
      actions.push(...letGo(one));
    } else {
      staying.push(one);
    }
  }

  const start = (spec: DesiredDeployment): boolean => {
    if (turns.left === 0) {
      waiting.push({ key, what: 'turn' });
      return false;
    }
    turns.left -= 1;
    actions.push({ kind: 'start', of: { ...of, version: versionOf(spec), revision: spec.revision }, spec });
    return true;
  };
  for (const one of staying.filter(({ state }) => state === 'down').toSorted(bySequence)) {
    const atMs = restartAt(one, nowMs);
    if (atMs > nowMs) waiting.push({ key, what: 'restart', atMs });
    else if (turns.left === 0) waiting.push({ key, what: 'turn' });
    else {
      turns.left -= 1;
      actions.push({ kind: 'restart', sequence: one.sequence });
    }
  }
  const old = staying.filter((one) => one.version !== version).length;
  let total = staying.length + left;
  if (kept !== undefined) for (let count = old; count < wanted && start(kept); count++) total += 1;
  const current = staying.length - old;
  const limit = failed ? 0 : works ? wanted : Math.min(wanted, 1);
  for (let count = current; count < limit && total < wanted + policy.surge && start(target); count++) total += 1;
  return { actions, waiting };
}

/** What answers may have requests under way; the rest has none. */
function letGo({ state, sequence }: ObservedReplica): ServiceAction[] {
  if (state === 'draining') return [];
  return [{ kind: state === 'ready' || state === 'unready' ? 'drain' : 'end', sequence }];
}

function restartAt({ exits, jitter }: ObservedReplica, nowMs: number): number {
  const decision = decideRestart({
    policy: { restart: 'always', maxRestarts: 1000, windowSeconds: 600 },
    exits: exits.map((atMs) => ({ atMs, clean: false })),
    nowMs,
    random: jitter,
  });
  return decision.kind === 'restart' ? decision.atMs : nowMs;
}

const worth = ['ready', 'unready', 'starting', 'down', 'draining'];

/** The newest revision first among equals, as it is where all go. */
function byWorth(a: ObservedReplica, b: ObservedReplica): number {
  return worth.indexOf(a.state) - worth.indexOf(b.state) || b.revision - a.revision || bySequence(a, b);
}

function bySequence(a: ObservedReplica, b: ObservedReplica): number {
  return a.sequence - b.sequence;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
