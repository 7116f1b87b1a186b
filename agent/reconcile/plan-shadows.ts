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
    const goesOn = wanted.some((one) => one.module === module && one.key === key && mayRun(one, observed));
    if (!goesOn) part.actions.push({ kind: 'stopShadow', module });
  }
  for (const one of wanted) {
    const there = entry(observed.shadows, one.module);
    if (there !== undefined && there.key !== one.key) continue;
    if (!mayRun(one, observed)) continue;
    if (there === undefined) {
      if (isSettled(desired, observed, one.module)) part.actions.push(start(one));
    } else planProcess(part, one, there, policy, now);
  }
  return part;
}

/** Its bytes are there, nothing refused it, and there is something to compare it to. */
function mayRun({ module, key }: WantedShadow, { tracks, serving }: Observed): boolean {
  const track = entry(tracks, shadowTrackOf(module));
  const incumbent = entry(serving.set, module);
  return track?.key === key && track.state === 'staged' && incumbent !== undefined && incumbent !== key;
}

/** The version that it is to be compared to answers, for good. */
function isSettled(desired: Desired, observed: Observed, name: string): boolean {
  const { serving, candidate, probation } = observed;
  const module = entry(desired.modules, name);
  if (module === undefined || candidate !== undefined || probation !== undefined) return false;
  return serving.host.state === 'running' && entry(serving.set, name) === versionKeyOf(module);
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
