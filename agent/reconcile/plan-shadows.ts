/**
 * The part of the plan about shadows: begun beside what answers once nothing else is under way, ended with what wants
 * them. Nothing here touches the set that answers, and nothing waits for a shadow.
 */
import type { Desired } from '#shared/protocol/desired.js';
import { decideRestart } from '#shared/supervisor/restart-policy.js';
import { entry, type Observed, type ShadowObservation, versionKeyOf } from '#agent/reconcile/observed.js';
import type { PlanPart } from '#agent/reconcile/plan.js';
import type { Policy } from '#agent/reconcile/policy.js';
import { ruleKeyOf, shadowTrackOf, type WantedShadow, wantedShadows } from '#agent/reconcile/shadows.js';

export function planShadows(desired: Desired, observed: Observed, policy: Policy, now: number): PlanPart {
  const part: PlanPart = { actions: [], waiting: [] };
  const wanted = wantedShadows(desired);
  for (const [module, { key }] of Object.entries(observed.shadows).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const goesOn = wanted.some((one) => one.module === module && one.key === key && mayRun(one, desired, observed));
    if (!goesOn) part.actions.push({ kind: 'stopShadow', module });
  }
  for (const one of wanted) {
    const there = entry(observed.shadows, one.module);
    if (there !== undefined && there.key !== one.key) continue;
    if (!mayRun(one, desired, observed)) continue;
    if (there === undefined) {
      if (isSettled(observed)) part.actions.push(start(one));
    } else planProcess(part, one, there, policy, now);
  }
  return part;
}

/**
 * Its bytes are there, nothing refused it, and the version that answers is the one that it is to be compared to: beside
 * an older one, kept because its successor was refused, the numbers would tell of another comparison.
 */
function mayRun({ module, key }: WantedShadow, desired: Desired, { tracks, serving }: Observed): boolean {
  const track = entry(tracks, shadowTrackOf(module));
  const wanted = entry(desired.modules, module);
  const answers = wanted !== undefined && entry(serving.set, module) === versionKeyOf(wanted);
  return track?.key === key && track.state === 'staged' && answers;
}

/** Nothing that answers is about to change. */
function isSettled({ serving, candidate, probation }: Observed): boolean {
  return candidate === undefined && probation === undefined && serving.host.state === 'running';
}

function planProcess(
  part: PlanPart,
  one: WantedShadow,
  { process, mirrored }: ShadowObservation,
  policy: Policy,
  now: number,
): void {
  const { module, key, shadow } = one;
  const name = `shadow of ${module}`;
  switch (process.state) {
    case 'absent':
    case 'stopped':
      return;
    case 'starting': {
      const deadline = process.since + policy.prepareTimeoutMs + policy.proveTimeoutMs;
      // Past its time it is begun anew; the executor ends the one that hangs.
      if (now >= deadline) part.actions.push(start(one));
      else part.waiting.push({ kind: 'starting', process: name, deadline });
      return;
    }
    case 'running':
      if (mirrored !== ruleKeyOf(shadow)) part.actions.push({ kind: 'mirrorShadow', module, key });
      return;
    case 'down': {
      const { exits, jitter: random, reason } = process;
      const decision = decideRestart({ policy: policy.shadowRestart, exits, nowMs: now, random });
      if (decision.kind === 'stop') {
        const message = `its shadow ended again and again: ${reason}`;
        part.actions.push({ kind: 'refuseShadow', module, key, problem: { code: 'shadow.failed', message } });
      } else if (now >= decision.atMs) part.actions.push(start(one));
      else part.waiting.push({ kind: 'restart', process: name, deadline: decision.atMs, reason });
    }
  }
}

function start({ module, key }: WantedShadow): PlanPart['actions'][number] {
  return { kind: 'startShadow', module, key };
}
