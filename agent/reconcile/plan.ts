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
import { entry, type Observed, type ServingSet, sameSet, type Track, versionKeyOf } from '#agent/reconcile/observed.js';
import type { Policy } from '#agent/reconcile/policy.js';
import { planProcesses } from '#agent/reconcile/plan-processes.js';

export interface PlanInput {
  readonly desired: Desired | undefined;
  readonly observed: Observed;
  readonly policy: Policy;
  /** Monotonic milliseconds, of the same clock as the times in `observed`. */
  readonly now: number;
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
  const { desired, observed, now, policy } = input;
  const processes = planProcesses(input);
  if (desired === undefined) {
    return { actions: processes.actions, waiting: [...processes.waiting, { kind: 'desired' }], converged: false };
  }
  const fetches = planFetches(desired, observed, policy, now);
  const switching = planSwitch(desired, observed, policy, now);
  const actions = [...processes.actions, ...fetches.actions, ...switching.actions];
  const waiting = [...processes.waiting, ...fetches.waiting, ...switching.waiting];
  const fetching = Object.values(observed.tracks).some((track) => track.state === 'fetching');
  if (actions.length === 0 && observed.garbageDue && !fetching && observed.candidate === undefined) {
    actions.push({ kind: 'collectGarbage' });
  }
  return { actions, waiting, converged: isConverged(desired, observed) };
}

export function desiredSetOf(desired: Desired): ServingSet {
  return Object.fromEntries(Object.entries(desired.modules).map(([name, module]) => [name, versionKeyOf(module)]));
}

function isConverged(desired: Desired, observed: Observed): boolean {
  const processes = [observed.serving.host, ...Object.values(observed.serving.scripts)];
  return (
    sameSet(desiredSetOf(desired), observed.serving.set) &&
    sameSet(observed.serving.set, observed.committed.set) &&
    observed.committed.generation === desired.generation &&
    !observed.retiring &&
    observed.draining.length === 0 &&
    processes.every((process) => process.state === 'running')
  );
}

interface Part {
  readonly actions: Action[];
  readonly waiting: Waiting[];
}

/** Modules before prefetched images, each in the order of names. */
function planFetches(desired: Desired, observed: Observed, policy: Policy, now: number): Part {
  const part: Part = { actions: [], waiting: [] };
  const wanted = [...Object.keys(desired.modules).sort(), ...new Set(desired.prefetch.map((image) => image.digest))];
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
    case 'active':
      return { kind: 'nothing' };
  }
}

/** What should answer with what is ready now: new versions where they are, incumbents elsewhere. */
function nextSet(desired: Desired, observed: Observed): ServingSet {
  const set: Record<string, string> = {};
  for (const [name, key] of Object.entries(desiredSetOf(desired)).sort(byName)) {
    const incumbent = entry(observed.serving.set, name);
    if (incumbent === key || isReady(entry(observed.tracks, name), key)) set[name] = key;
    else if (incumbent !== undefined) set[name] = incumbent;
  }
  return set;
}

function isReady(track: Track | undefined, key: string): boolean {
  if (track === undefined || track.key !== key) return false;
  return track.state === 'staged' || track.state === 'proving' || track.state === 'proved' || track.state === 'active';
}

function planSwitch(desired: Desired, observed: Observed, policy: Policy, now: number): Part {
  const part: Part = { actions: [], waiting: [] };
  const { serving, candidate, committed } = observed;
  const target = nextSet(desired, observed);
  const [drainingSince] = observed.draining;
  if (drainingSince !== undefined) {
    // A little more than it may take, since its end is told by the process and not by the clock.
    part.waiting.push({ kind: 'draining', deadline: drainingSince + policy.drainMs + 1_000 });
  }
  if (candidate !== undefined) {
    planCandidate(part, desired, observed, policy, now);
    return part;
  }
  const settled = Object.entries(desiredSetOf(desired)).every(
    ([name, key]) => entry(serving.set, name) === key || entry(observed.tracks, name)?.state === 'rejected',
  );
  const reached = sameSet(target, serving.set);
  // The host must have been started with what is committed before anything replaces it.
  if (serving.host.state === 'absent') return part;
  if (!sameSet(serving.set, committed.set) || (settled && reached && committed.generation !== desired.generation)) {
    part.actions.push({ kind: 'commitSet', generation: desired.generation, set: serving.set });
    return part;
  }
  if (observed.retiring) part.actions.push({ kind: 'dropRetired' });
  else if (!reached || serving.restartDue) part.actions.push({ kind: 'prepareSet', set: target });
  return part;
}

/** A candidate that is still wanted is brought to its end before a newer set is looked at. */
function planCandidate(part: Part, desired: Desired, observed: Observed, policy: Policy, now: number): void {
  const { candidate, serving } = observed;
  if (candidate === undefined) return;
  const wanted = desiredSetOf(desired);
  const changed = Object.keys(candidate.set)
    .filter((name) => candidate.set[name] !== entry(serving.set, name))
    .sort();
  const valid = Object.entries(candidate.set).every(([name, key]) => {
    if (!Object.hasOwn(wanted, name)) return false;
    if (entry(serving.set, name) === key) return true;
    return wanted[name] === key && isReady(entry(observed.tracks, name), key);
  });
  if (!valid) {
    part.actions.push({ kind: 'discardCandidate', because: 'superseded', failed: [] });
    return;
  }
  if (candidate.state === 'starting') {
    const deadline = candidate.since + policy.prepareTimeoutMs;
    if (now < deadline) part.waiting.push({ kind: 'preparing', deadline });
    else part.actions.push(timeout(changed, `did not load within ${seconds(policy.prepareTimeoutMs)}`));
    return;
  }
  if (candidate.proving !== undefined) {
    const { module, since } = candidate.proving;
    const deadline = since + policy.proveTimeoutMs;
    if (now < deadline) part.waiting.push({ kind: 'proving', module, deadline });
    else part.actions.push(timeout([module], `golden vectors did not finish within ${seconds(policy.proveTimeoutMs)}`));
    return;
  }
  const unproved = changed.find((name) => entry(observed.tracks, name)?.state !== 'proved');
  const key = unproved === undefined ? undefined : candidate.set[unproved];
  if (unproved !== undefined && key !== undefined) part.actions.push({ kind: 'prove', module: unproved, key });
  else part.actions.push({ kind: 'switchSet', set: candidate.set });
}

function timeout(failed: readonly string[], message: string): Action {
  return { kind: 'discardCandidate', because: 'timeout', failed, problem: { code: 'score.timeout', message } };
}

function seconds(ms: number): string {
  return `${String(Math.round(ms / 1000))} s`;
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
