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
import { judgeDevice, withOutcome } from './judge.js';
import { inOrder } from './order.js';
import type { GateVerdict } from './gates/gate-model.js';
import { failedGate, openGate } from './gates/gate-step.js';
import type { RolloutPolicy } from './policy.js';
import { allowanceByRate } from './rate.js';
import {
  type Assignment,
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
  /** What the gates of the policy say of the wave whose turn it is. */
  readonly gates?: readonly GateVerdict[] | undefined;
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
  /** What the transition rests on. */
  readonly gates: readonly GateVerdict[];
}

export function planRollout(input: PlanInput): Plan {
  const { rollout, policy, now } = input;
  if (isFinal(rollout.state)) return { outcomes: [], assignments: [], waiting: [], joins: [], gates: [] };
  const outcomes = new Map<string, Outcome>();
  const judged = inOrder(rollout.id, input.devices).map((one) => {
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
  for (const { device, claimedBy } of joining) {
    if (claimedBy === undefined) continue;
    waiting.push({ device, kind: 'claimed', until: totalEndsAt(rollout, policy), detail: claimedBy });
  }
  return {
    outcomes: [...outcomes.values()],
    ...{ assignments: step.assignments, transition: step.transition, waiting, joins },
    gates: rollout.state === 'running' && step.transition !== undefined ? (input.gates ?? []) : [],
  };
}

function nextStep(devices: readonly RolloutDevice[], input: PlanInput, joins: readonly string[]): Step {
  const { rollout, policy, now } = input;
  if (rollout.state === 'ending') return planEnding(devices, rollout, policy, now);
  if (rollout.state === 'paused') return { assignments: [] };
  const stop = overdue(rollout, policy, now) ?? crossedThreshold(devices, rollout, policy) ?? failedGate(input);
  if (stop !== undefined) return { assignments: [], transition: stop };
  const isOpen = devices.some(
    ({ standing, wave }) => wave <= rollout.wave && (standing === 'queued' || standing === 'changing'),
  );
  if (isOpen) return { assignments: planDeploys(devices, input) };
  return { assignments: [], transition: afterWave(devices, input, joins) };
}

function overdue(rollout: Rollout, policy: RolloutPolicy, now: number): Transition | undefined {
  if (now < totalEndsAt(rollout, policy)) return undefined;
  const ending = endingOf(policy.onFailure === 'rollback' ? 'rollback' : 'stop');
  const text = `not done within ${String(policy.totalTimeoutSeconds)} s`;
  return { kind: 'end', ending, reason: { code: 'total-timeout', text } };
}

/** The wave has ended: watched, approved, and on to the next one. Undefined while that waits. */
function afterWave(
  devices: readonly RolloutDevice[],
  input: PlanInput,
  joins: readonly string[],
): Transition | undefined {
  const { rollout, policy, now } = input;
  const unmet = unmetSuccess(devices, rollout, policy);
  if (unmet !== undefined) return unmet;
  const isEmpty = !devices.some(({ wave, standing }) => wave === rollout.wave && standing !== 'left');
  if (!isEmpty) {
    if (now < bakedAt(devices, rollout, policy)) return undefined;
    if (openGate(devices, input) !== undefined) return undefined;
    const more = joins.length > 0 || devices.some(({ wave, standing }) => wave > rollout.wave && standing === 'queued');
    const approval = policy.waves[rollout.wave]?.approval ?? false;
    if (approval && more && rollout.approvedBefore <= rollout.wave) return undefined;
  }
  if (rollout.wave < rollout.waves - 1) return { kind: 'advance', wave: rollout.wave + 1 };
  // Who has just joined has its turn first.
  return joins.length > 0 ? undefined : { kind: 'finish', state: 'succeeded' };
}

function planDeploys(devices: readonly RolloutDevice[], { rollout, policy, now }: PlanInput): Assignment[] {
  return devices
    .filter(({ standing, wave, online }) => standing === 'queued' && wave <= rollout.wave && online)
    .filter(({ retryAt = 0 }) => retryAt <= now)
    .slice(0, Math.min(roomFor(devices, policy), allowanceByRate(devices, policy, now)))
    .map(({ device }) => ({ device, action: 'deploy' }));
}
