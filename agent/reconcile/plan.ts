/**
 * What to do next: a pure function of what is desired and what is observed. It names only the next
 * safe steps; after them the device is observed and planned anew. Invariants, held by properties:
 * a version that was rejected is not tried again in its generation; the incumbent keeps answering
 * until every changed version in the next set is proved; input order does not matter; an empty plan
 * always says what it waits for.
 */
import { backoffMs } from '#shared/kernel/backoff.js';
import type { Problem } from '#shared/kernel/errors.js';
import type { Desired } from '#shared/protocol/desired.js';
import type { Action } from '#agent/reconcile/action.js';
import type { Calendar } from '#agent/reconcile/calendar.js';
import { desiredSetOf } from '#agent/reconcile/next-set.js';
import { entry, type Observed, sameSet, type Track } from '#agent/reconcile/observed.js';
import type { Policy } from '#agent/reconcile/policy.js';
import { planProcesses } from '#agent/reconcile/plan-processes.js';
import { planShadows } from '#agent/reconcile/plan-shadows.js';
import { planSwitch } from '#agent/reconcile/plan-switch.js';
import { shadowTrackOf, wantedShadows } from '#agent/reconcile/shadows.js';

export interface PlanInput {
  readonly desired: Desired | undefined;
  readonly observed: Observed;
  readonly policy: Policy;
  /** Monotonic milliseconds, of the same clock as the times in `observed`. */
  readonly now: number;
  /** What time of day `now` is. */
  readonly calendar: Calendar;
}

export type Waiting =
  | { readonly kind: 'desired' }
  | { readonly kind: 'link'; readonly module: string }
  | { readonly kind: 'fetching'; readonly module: string }
  /** A download waits for another to end. */
  | { readonly kind: 'turn'; readonly module: string }
  | { readonly kind: 'backoff'; readonly module: string; readonly deadline: number; readonly problem: Problem }
  | { readonly kind: 'disk.full'; readonly module: string; readonly deadline: number; readonly problem: Problem }
  /** Only another generation ends this. */
  | { readonly kind: 'rejected'; readonly module: string; readonly problem: Problem }
  | { readonly kind: 'preparing'; readonly deadline: number }
  /** The module itself puts its replacement off. */
  | { readonly kind: 'busy'; readonly module: string; readonly deadline: number; readonly reason: string }
  /** Ready, and its maintenance window is closed; opensAt: milliseconds since the epoch. */
  | { readonly kind: 'window'; readonly module: string; readonly opensAt: number }
  /** Ready, and to take over only together with others that are not. */
  | { readonly kind: 'together'; readonly module: string; readonly group: string; readonly missing: readonly string[] }
  /** It starts after modules that do not answer yet; at the deadline without them. */
  | {
      readonly kind: 'startAfter';
      readonly module: string;
      readonly missing: readonly string[];
      readonly deadline: number;
    }
  /** Answers, watched; lookAt: when the hosts are asked next. */
  | {
      readonly kind: 'probation';
      readonly modules: readonly string[];
      readonly deadline: number;
      readonly lookAt: number;
    }
  /** The replaced host finishes what it has; its connections may still get an old answer. */
  | { readonly kind: 'draining'; readonly deadline: number }
  | { readonly kind: 'proving'; readonly module: string; readonly deadline: number }
  | { readonly kind: 'starting'; readonly process: string; readonly deadline: number }
  | { readonly kind: 'restart'; readonly process: string; readonly deadline: number; readonly reason: string }
  | { readonly kind: 'stopped'; readonly process: string; readonly reason: string };

export interface Plan {
  readonly actions: readonly Action[];
  readonly waiting: readonly Waiting[];
  /** The device runs exactly what is desired, and it is on disk. */
  readonly converged: boolean;
}

export function planDevice(input: PlanInput): Plan {
  const { desired, observed, now, policy, calendar } = input;
  // What crashed on probation is not started again: the set before it answers instead.
  const processes = observed.probation?.crash === undefined ? planProcesses(input) : { actions: [], waiting: [] };
  if (desired === undefined) {
    return { actions: processes.actions, waiting: [...processes.waiting, { kind: 'desired' }], converged: false };
  }
  const fetches = planFetches(desired, observed, policy, now);
  const switching = planSwitch(desired, observed, policy, now, calendar);
  const shadows = planShadows(desired, observed, policy, now);
  const parts = [processes, fetches, switching, shadows];
  const actions = parts.flatMap((part) => part.actions);
  const waiting = parts.flatMap((part) => part.waiting);
  const fetching = Object.values(observed.tracks).some((track) => track.state === 'fetching');
  const between = observed.candidate !== undefined || observed.probation !== undefined;
  if (actions.length === 0 && observed.garbageDue && !fetching && !between) {
    actions.push({ kind: 'collectGarbage' });
  }
  return { actions, waiting, converged: isConverged(desired, observed) };
}

/** A wall clock may be set while a window is waited for. */
const windowLookMs = 60_000;

/** When the device is to be looked at again, though nothing happened; by the monotonic clock. */
export function wakeTimes({ waiting }: Plan, now: number, { offset }: Pick<Calendar, 'offset'>): number[] {
  return waiting.flatMap((one) => {
    if ('lookAt' in one) return [one.lookAt];
    if ('opensAt' in one) return [Math.min(Math.ceil(one.opensAt - offset), now + windowLookMs)];
    return 'deadline' in one ? [one.deadline] : [];
  });
}

function isConverged(desired: Desired, observed: Observed): boolean {
  const processes = [observed.serving.host, ...Object.values(observed.serving.scripts)];
  return (
    sameSet(desiredSetOf(desired), observed.serving.set) &&
    sameSet(observed.serving.set, observed.committed.set) &&
    observed.committed.generation === desired.generation &&
    !observed.retiring &&
    observed.probation === undefined &&
    observed.draining.length === 0 &&
    processes.every((process) => process.state === 'running')
  );
}

export interface PlanPart {
  readonly actions: Action[];
  readonly waiting: Waiting[];
}

/** Modules before shadows before prefetched images, each in the order of names. */
function planFetches(desired: Desired, observed: Observed, policy: Policy, now: number): PlanPart {
  const part: PlanPart = { actions: [], waiting: [] };
  const wanted = [
    ...Object.keys(desired.modules).sort(),
    ...wantedShadows(desired).map(({ module }) => shadowTrackOf(module)),
    ...new Set(desired.prefetch.map((image) => image.digest)),
  ];
  const ids = new Set(wanted);
  let running = 0;
  for (const [id, track] of Object.entries(observed.tracks).sort(byName)) {
    if (track.state !== 'fetching') continue;
    if (ids.has(id)) running += 1;
    else part.actions.push({ kind: 'cancelFetch', track: id });
  }
  for (const id of wanted) {
    const track = entry(observed.tracks, id);
    if (track === undefined) continue;
    const step = nextFetchStep(id, track, observed.linkUp, policy, now);
    if (step.kind === 'wait') part.waiting.push(step.waiting);
    else if (step.kind === 'fetch') {
      if (running < policy.maxFetches) {
        running += 1;
        part.actions.push({ kind: 'startFetch', track: id, key: track.key, image: track.image });
      } else part.waiting.push({ kind: 'turn', module: id });
    }
  }
  return part;
}

type FetchStep = { kind: 'fetch' } | { kind: 'wait'; waiting: Waiting } | { kind: 'nothing' };

function nextFetchStep(id: string, track: Track, linkUp: boolean, policy: Policy, now: number): FetchStep {
  switch (track.state) {
    case 'wanted':
      return { kind: 'fetch' };
    case 'fetching':
      return { kind: 'wait', waiting: { kind: linkUp ? 'fetching' : 'link', module: id } };
    case 'failed': {
      const problem = track.problem ?? { code: 'internal', message: 'no cause was kept' };
      const full = problem.code === 'disk.full';
      const pause = full ? policy.diskRetryMs : backoffMs(track.attempts, policy.retry, track.jitter);
      const deadline = track.since + pause;
      if (now >= deadline) return { kind: 'fetch' };
      return { kind: 'wait', waiting: { kind: full ? 'disk.full' : 'backoff', module: id, deadline, problem } };
    }
    case 'rejected': {
      const problem = track.problem ?? { code: 'internal', message: 'no cause was kept' };
      return { kind: 'wait', waiting: { kind: 'rejected', module: id, problem } };
    }
    case 'staged':
    case 'proving':
    case 'proved':
    case 'probation':
    case 'active':
      return { kind: 'nothing' };
  }
}

export function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
