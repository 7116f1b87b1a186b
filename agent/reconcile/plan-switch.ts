/** The part of the plan that brings the next set from ready to answering: prepare, prove, switch, watch, commit. */
import { type Desired, probationSchema, type Probation, updatePolicyOf } from '#shared/protocol/desired.js';
import { judgeProbation } from '#shared/supervisor/probation.js';
import type { Action } from '#agent/reconcile/action.js';
import { type Calendar, windowOpensAt } from '#agent/reconcile/calendar.js';
import { busyUntil, desiredSetOf, isReady, keepsGroups, nextSet } from '#agent/reconcile/next-set.js';
import { entry, type Observed, sameSet, type ServingSet } from '#agent/reconcile/observed.js';
import type { PlanPart } from '#agent/reconcile/plan.js';
import type { Policy } from '#agent/reconcile/policy.js';
import { probationEvidence } from '#agent/reconcile/probation-evidence.js';

const unwatched: Probation = probationSchema.parse({ windowSeconds: 0 });
/** A host that does not answer is ended by its owner's liveness check well before. */
const sampleTimeoutMs = 60_000;

export function planSwitch(
  desired: Desired,
  observed: Observed,
  policy: Policy,
  now: number,
  calendar: Calendar,
): PlanPart {
  const part: PlanPart = { actions: [], waiting: [] };
  const { serving, candidate, committed } = observed;
  const [drainingSince] = observed.draining;
  if (drainingSince !== undefined) {
    // A little more than it may take, since its end is told by the process and not by the clock.
    part.waiting.push({ kind: 'draining', deadline: Math.max(now, drainingSince + policy.drainMs) + 1_000 });
  }
  if (observed.probation !== undefined) {
    planProbation(part, desired, observed, policy, now);
    return part;
  }
  if (candidate !== undefined) {
    planCandidate(part, desired, observed, policy, now, calendar);
    return part;
  }
  const target = nextSet(desired, observed, policy.startAfterMs, now, calendar);
  const settled = Object.entries(desiredSetOf(desired)).every(
    ([name, key]) => entry(serving.set, name) === key || entry(observed.tracks, name)?.state === 'rejected',
  );
  const reached = sameSet(target.set, serving.set);
  part.waiting.push(...target.waiting);
  // The host must have been started with what is committed before anything replaces it.
  if (serving.host.state === 'absent') return part;
  if (!sameSet(serving.set, committed.set) || (settled && reached && committed.generation !== desired.generation)) {
    part.actions.push({ kind: 'commitSet', generation: desired.generation, set: serving.set });
    return part;
  }
  if (observed.retiring) part.actions.push({ kind: 'dropRetired' });
  else if (!reached || serving.restartDue) part.actions.push({ kind: 'prepareSet', set: target.set });
  return part;
}

/** A candidate that is still wanted is brought to its end before a newer set is looked at. */
function planCandidate(
  part: PlanPart,
  desired: Desired,
  observed: Observed,
  policy: Policy,
  now: number,
  calendar: Calendar,
): void {
  const { candidate, serving } = observed;
  if (candidate === undefined) return;
  const wanted = desiredSetOf(desired);
  const opensAt = (name: string): number | undefined => windowOpensAt(desired, observed, name, now, calendar);
  const isBusy = (name: string): boolean => busyUntil(desired, observed, name, now, calendar) !== undefined;
  const isHeld = (name: string): boolean => isBusy(name) || opensAt(name) !== undefined;
  const changed = Object.keys(candidate.set)
    .filter((name) => candidate.set[name] !== entry(serving.set, name))
    .sort();
  const valid = Object.entries(candidate.set).every(([name, key]) => {
    if (entry(serving.set, name) === key) return Object.hasOwn(wanted, name) || isHeld(name);
    return wanted[name] === key && isReady(entry(observed.tracks, name), key);
  });
  const gone = Object.keys(serving.set).filter((name) => entry(candidate.set, name) === undefined);
  // What it leaves out may be wanted again since.
  const dropsWanted = gone.some((name) => Object.hasOwn(wanted, name));
  if (!valid || dropsWanted || !keepsGroups(desired, observed, candidate.set)) {
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
  if (unproved !== undefined && key !== undefined) {
    part.actions.push({ kind: 'prove', module: unproved, key });
    return;
  }
  const closed = [...changed, ...gone].find((name) => opensAt(name) !== undefined);
  if (closed !== undefined) {
    const at = opensAt(closed) ?? now;
    if (at - calendar.offset - now <= policy.windowNearMs)
      part.waiting.push({ kind: 'window', module: closed, opensAt: at });
    else part.actions.push({ kind: 'discardCandidate', because: 'window', failed: [] });
    return;
  }
  // It became busy while its successor was made ready, which waits for it.
  const busy = [...changed, ...gone].find(isBusy);
  if (busy !== undefined) {
    const deadline = busyUntil(desired, observed, busy, now, calendar) ?? now;
    const reason = entry(observed.deferrals, busy)?.reason ?? '';
    part.waiting.push({ kind: 'busy', module: busy, deadline, reason });
    return;
  }
  part.actions.push({ kind: 'switchSet', set: candidate.set, watched: watchedIn(desired, observed, candidate.set) });
}

/** The set that answers is new: it is judged, and committed to, or left for the one before. */
function planProbation(part: PlanPart, desired: Desired, observed: Observed, policy: Policy, now: number): void {
  const { probation, serving } = observed;
  if (probation === undefined) return;
  const wanted = desiredSetOf(desired);
  const { changed, fallback } = probation;
  if (Object.entries(changed).some(([name, key]) => entry(wanted, name) !== key)) {
    part.actions.push({ kind: 'returnSet', set: fallback, because: 'superseded', failed: [] });
    return;
  }
  const evidence = probationEvidence(
    probation,
    (name) => updatePolicyOf(entry(desired.modules, name)).probation ?? unwatched,
  );
  const verdict = judgeProbation(evidence);
  switch (verdict.kind) {
    case 'pass':
      part.actions.push({ kind: 'commitSet', generation: desired.generation, set: serving.set });
      return;
    case 'fail': {
      const failed = (verdict.modules ?? Object.keys(changed)).filter((name) => entry(changed, name) !== undefined);
      const problem = { code: 'probation.failed', message: verdict.message } as const;
      part.actions.push({ kind: 'returnSet', set: fallback, because: 'failed', failed, problem });
      return;
    }
    case 'watch': {
      const { askedAt, since, sample, watched } = probation;
      const lookAt =
        askedAt === undefined
          ? Math.min((sample?.at ?? since) + policy.probationLookMs, since + verdict.untilMs)
          : askedAt + sampleTimeoutMs;
      if (now >= lookAt) part.actions.push({ kind: 'sampleProbation' });
      else part.waiting.push({ kind: 'probation', modules: watched, deadline: since + verdict.untilMs, lookAt });
    }
  }
}

/** The changed modules that replace another version, where that one runs and could answer again. */
function watchedIn(desired: Desired, { serving }: Observed, set: ServingSet): string[] {
  if (serving.host.state !== 'running') return [];
  return Object.keys(set)
    .filter((name) => {
      const incumbent = entry(serving.set, name);
      const { probation = unwatched } = updatePolicyOf(entry(desired.modules, name));
      return incumbent !== undefined && incumbent !== set[name] && probation.windowSeconds > 0;
    })
    .sort();
}

function timeout(failed: readonly string[], message: string): Action {
  return { kind: 'discardCandidate', because: 'timeout', failed, problem: { code: 'score.timeout', message } };
}

function seconds(ms: number): string {
  return `${String(Math.round(ms / 1000))} s`;
}
