/**
 * The next step of a rollout, from data alone: no clock, no chance, no I/O. Whoever carries it out plans again
 * afterwards; planning twice from the same state gives the same step, hence a restart changes nothing.
 *
 * Invariants, held by property tests: what it assigns never takes the devices that are changing above
 * `maxUnavailable`; a rollout that is paused or at its end deploys nothing; the order of its input changes nothing; each
 * device that has not ended has a wait.
 */
import { bakedAt, roomFor, totalEndsAt } from './deadlines.js';
import { planEnding } from './ending.js';
import { type Freeze, freezesOf, frozenMs, withFreezes } from './freeze.js';
import { judgeDevice, withOutcome } from './judge.js';
import { planLeadBack, withLeadBack } from './lead-back.js';
import { withWindows } from './openings.js';
import { inOrder } from './order.js';
import type { GateVerdict } from './gates/gate-model.js';
import { failedGate } from './gates/gate-step.js';
import { holdsOf, untold } from './holds.js';
import { afterShadow, failedShadow, isShadowing, shadowHolds, toShadow } from './shadow/shadow-step.js';
import type { RolloutPolicy } from './policy.js';
import { planPrefetch } from './prefetch.js';
import { allowanceByRate } from './rate.js';
import {
  type Assignment,
  type Hold,
  isFinal,
  type Joiner,
  type Outcome,
  type Rollout,
  type RolloutDevice,
  type Step,
  type Transition,
  type Wait,
} from './rollout-model.js';
import { crossedThreshold, endingOf, unmetSuccess } from './thresholds.js';
import { waitContext, waitOf } from './waits.js';

export interface PlanInput {
  readonly rollout: Rollout;
  readonly policy: RolloutPolicy;
  readonly devices: readonly RolloutDevice[];
  /** Members of the fleet that are not among the devices. */
  readonly joiners?: readonly Joiner[] | undefined;
  /** Of the workspace. */
  readonly freezes?: readonly Freeze[] | undefined;
  /** What the gates of the policy say of the wave whose turn it is. */
  readonly gates?: readonly GateVerdict[] | undefined;
  /** What shadows say, where the policy wants them and none has switched yet. */
  readonly shadows?: readonly GateVerdict[] | undefined;
  readonly now: number;
}

export interface Plan {
  /** Devices that stand otherwise than before. */
  readonly outcomes: readonly Outcome[];
  /** What devices are asked now. Never together with a transition. */
  readonly assignments: readonly Assignment[];
  readonly transition?: Transition | undefined;
  /** One for each device that has not ended after this step. */
  readonly waiting: readonly Wait[];
  /** Devices that join the last wave. */
  readonly joins: readonly string[];
  /** Devices that begin to shadow; never while it is paused or at its end. */
  readonly shadowing: readonly string[];
  /** Devices that are to fetch the release's images beforehand. */
  readonly prefetches?: readonly string[];
  /** What holds the wave and was not told of it yet. Never together with a transition. */
  readonly holds?: readonly Hold[];
  /** What the transition rests on. */
  readonly gates: readonly GateVerdict[];
}

export function planRollout(given: PlanInput): Plan {
  const { policy, now } = given;
  const freezes = given.rollout.ignoresFreeze === true ? [] : [...freezesOf(policy), ...(given.freezes ?? [])];
  // What was frozen counts for no deadline of the whole.
  const { countedFrom: from } = given.rollout;
  const rollout = { ...given.rollout, countedFrom: from + frozenMs(freezes, from, now) };
  const input = { ...given, rollout };
  if (isFinal(rollout.state))
    return { outcomes: [], assignments: [], waiting: [], joins: [], shadowing: [], gates: [] };
  const outcomes = new Map<string, Outcome>();
  const judged = settled(input, freezes).map((one) => {
    const outcome = judgeDevice(one, rollout, policy, now);
    if (outcome !== undefined) outcomes.set(one.device, outcome);
    return withOutcome(one, outcome);
  });
  const follows = rollout.state === 'running' && policy.lateJoiners === 'follow';
  const joining = follows ? inOrder(rollout.id, input.joiners ?? []) : [];
  const joins = joining.filter(({ claimedBy }) => claimedBy === undefined).map(({ device }) => device);

  const step = nextStep(judged, input, joins);
  for (const outcome of step.outcomes ?? []) outcomes.set(outcome.device, outcome);
  const devices = judged.map((one) => withOutcome(one, outcomes.get(one.device)));
  const context = waitContext(devices, step.assignments, input);
  const waiting = devices.flatMap((one): Wait[] => waitOf(one, context));
  const assigned = new Set(step.assignments.map(({ device }) => device));
  const holds = untold(step.holds ?? [], rollout);
  const prefetches = step.transition === undefined ? planPrefetch(devices, rollout, policy, assigned) : [];
  for (const { device, claimedBy } of joining) {
    if (claimedBy === undefined) continue;
    waiting.push({ device, kind: 'claimed', until: totalEndsAt(rollout, policy), detail: claimedBy });
  }
  const said = isShadowing(input) ? input.shadows : input.gates;
  return {
    outcomes: [...outcomes.values()],
    ...{ assignments: step.assignments, transition: step.transition, waiting, joins },
    ...(prefetches.length === 0 ? {} : { prefetches }),
    ...(holds.length === 0 ? {} : { holds }),
    shadowing: step.shadowing ?? [],
    gates: rollout.state === 'running' && step.transition !== undefined ? (said ?? []) : [],
  };
}

/** The devices in order, with all that this moment says of them. */
function settled({ rollout, policy, devices, now }: PlanInput, freezes: readonly Freeze[]): readonly RolloutDevice[] {
  const ordered = withLeadBack(inOrder(rollout.id, devices), rollout);
  return withFreezes(withWindows(ordered, policy, now), freezes, now);
}

function nextStep(devices: readonly RolloutDevice[], input: PlanInput, joins: readonly string[]): Step {
  const { rollout, policy, now } = input;
  const back = planLeadBack(devices, policy, now);
  if (back !== undefined) return back;
  if (rollout.state === 'ending') return planEnding(devices, rollout, policy, now);
  if (rollout.state === 'paused') return { assignments: [] };
  const stop =
    overdue(rollout, policy, now) ??
    crossedThreshold(devices, rollout, policy) ??
    failedGate(input) ??
    failedShadow(devices, input);
  if (stop !== undefined) return { assignments: [], transition: stop };
  const isOpen = devices.some(
    ({ standing, wave }) => wave <= rollout.wave && (standing === 'queued' || standing === 'changing'),
  );
  if (isOpen && isShadowing(input)) {
    const transition = afterShadow(devices, input);
    if (transition !== undefined) return { assignments: [], transition };
    return { assignments: [], shadowing: toShadow(devices, input), holds: shadowHolds(devices, input) };
  }
  if (isOpen) return { assignments: planDeploys(devices, input) };
  return afterWave(devices, input, joins);
}

function overdue(rollout: Rollout, policy: RolloutPolicy, now: number): Transition | undefined {
  if (now < totalEndsAt(rollout, policy)) return undefined;
  const ending = endingOf(policy.onFailure === 'rollback' ? 'rollback' : 'stop');
  const text = `not done within ${String(policy.totalTimeoutSeconds)} s`;
  return { kind: 'end', ending, reason: { code: 'total-timeout', text } };
}

/** The wave has ended: watched, approved, and on to the next one. No transition while that waits. */
function afterWave(devices: readonly RolloutDevice[], input: PlanInput, joins: readonly string[]): Step {
  const { rollout, policy, now } = input;
  const unmet = unmetSuccess(devices, rollout, policy);
  if (unmet !== undefined) return { assignments: [], transition: unmet };
  const isEmpty = !devices.some(({ wave, standing }) => wave === rollout.wave && standing !== 'left');
  if (!isEmpty) {
    if (now < bakedAt(devices, rollout, policy)) return { assignments: [] };
    const more = joins.length > 0 || devices.some(({ wave, standing }) => wave > rollout.wave && standing === 'queued');
    const holds = holdsOf(devices, more, input);
    if (holds.length > 0) return { assignments: [], holds };
  }
  return { assignments: [], transition: nextWave(devices, input, joins) };
}

/** Undefined while devices that go back, or have just joined, are waited for. */
function nextWave(
  devices: readonly RolloutDevice[],
  { rollout }: PlanInput,
  joins: readonly string[],
): Transition | undefined {
  if (rollout.wave < rollout.waves - 1) return { kind: 'advance', wave: rollout.wave + 1 };
  if (devices.some(({ standing, ledBack }) => standing === 'returning' || ledBack === true)) return undefined;
  // Who has just joined has its turn first.
  return joins.length > 0 ? undefined : { kind: 'finish', state: 'succeeded' };
}

function planDeploys(devices: readonly RolloutDevice[], { rollout, policy, now }: PlanInput): Assignment[] {
  return devices
    .filter(({ standing, wave, online }) => standing === 'queued' && wave <= rollout.wave && online)
    .filter(({ retryAt = 0, window }) => retryAt <= now && window?.open !== false)
    .filter(({ frozen, ledBack }) => frozen === undefined && ledBack !== true)
    .slice(0, Math.min(roomFor(devices, policy, now), allowanceByRate(devices, policy, now)))
    .map(({ device }) => ({ device, action: 'deploy' }));
}

/** Nothing is to be done now. */
export function isIdle({ outcomes, assignments, transition, joins, shadowing, ...plan }: Plan): boolean {
  const asked = assignments.length + shadowing.length + (plan.prefetches?.length ?? 0);
  return outcomes.length + asked + joins.length + (plan.holds?.length ?? 0) === 0 && transition === undefined;
}
