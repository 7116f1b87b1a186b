/** Rollouts over devices that are only data: their moods, their clock and whoever carries out what was planned. */
import fc from 'fast-check';
import { windowsAt } from '#shared/protocol/maintenance-window.js';
import { afterAssignment, afterTransition } from '#cloud/rollout/apply.js';
import type { GateVerdict } from '#cloud/rollout/gates/gate-model.js';
import { withHolds } from '#cloud/rollout/holds.js';
import { withOutcome } from '#cloud/rollout/judge.js';
import { isIdle, type Plan, planRollout } from '#cloud/rollout/plan.js';
import { type RolloutPolicy, rolloutPolicySchema } from '#cloud/rollout/policy.js';
import { isFinal, type Observation, type Rollout, type RolloutDevice } from '#cloud/rollout/rollout-model.js';
import { shadowGate } from '#cloud/rollout/shadow/shadow-verdicts.js';
import { divideIntoWaves, waveCount } from '#cloud/rollout/waves.js';

export interface Mood {
  /** What becomes of an attempt: it runs, it is rejected for good or for now, or nothing is heard. */
  readonly does: 'run' | 'reject' | 'stumble' | 'nothing';
  /** How long an attempt takes it. */
  readonly takesMs: number;
  /** Away from then, for so long; 0: never. */
  readonly awayFromMs: number;
  readonly awayForMs: number;
  readonly canary: boolean;
}

/** What a gate says in a wave: nothing decided at first, then this; or one second a pass, the next nothing decided. */
export interface GateMood {
  readonly knowsAfterMs: number;
  readonly says: 'pass' | 'fail' | 'undecided' | 'wavers';
}

export const startMs = 1_000_000;

/** A rollout with its devices, as a database would hold them; `step` is what a control plane does. */
export class RolloutWorld {
  now = startMs;
  rollout: Rollout;
  devices: RolloutDevice[];
  readonly generations = new Map<string, number>();
  readonly wavesOf = new Map<string, Set<number>>();
  deploys = 0;

  constructor(
    readonly policy: RolloutPolicy,
    readonly moods: ReadonlyMap<string, Mood>,
    /** By gate; of each wave in turn, the last for those after it. */
    readonly gateMoods: Readonly<Record<string, readonly GateMood[]>> = {},
    /** What shadows say, counted from the first device that was asked, where the policy wants them. */
    readonly shadowMood?: GateMood,
    id = 'r1',
  ) {
    const candidates = [...moods].map(([device, { canary }]) => ({ device, canary }));
    this.devices = divideIntoWaves(id, policy, candidates).flatMap((names, wave) =>
      names.map((device) => queued(device, wave)),
    );
    const wave = { wave: 0, waves: waveCount(policy), waveStartedAt: startMs, approvedBefore: 0 };
    this.rollout = { id, state: 'running', ...wave, countedFrom: startMs };
    this.look();
  }

  get isOver(): boolean {
    return isFinal(this.rollout.state);
  }

  /** What devices say at this moment. */
  look(): void {
    this.devices = this.devices.map((one) => {
      const mood = this.moods.get(one.device);
      if (mood === undefined) return one;
      const { awayFromMs, awayForMs } = mood;
      const from = startMs + awayFromMs;
      const online = awayFromMs === 0 || this.now < from || this.now >= from + awayForMs;
      const observed = this.behindWindow(one, observationOf(one, mood, online, this.now));
      return { ...one, online, offlineSince: online ? 0 : from, observed };
    });
  }

  /** Outside its window a device does not change, and says so. */
  private behindWindow(one: RolloutDevice, observed: Observation): Observation {
    const { windows } = this.policy;
    if (windows === undefined || one.standing !== 'changing') return observed;
    const state = windowsAt(windows, one.timeZone ?? 'UTC', this.now);
    return state.open ? observed : { kind: 'working', opensAt: state.opensAt };
  }

  plan(devices: readonly RolloutDevice[] = this.devices, gates: readonly GateVerdict[] = this.gates()): Plan {
    const { rollout, policy, now } = this;
    return planRollout({ rollout, policy, devices, gates, shadows: this.shadows(), now });
  }

  shadows(): GateVerdict[] {
    const asked = this.devices.flatMap(({ shadow }) => shadow?.askedAt ?? []);
    if (asked.length === 0) return [];
    const { shadowMood: mood } = this;
    const knows = mood !== undefined && this.now >= Math.min(...asked) + mood.knowsAfterMs;
    return [verdictOf(shadowGate, knows ? this.said(mood) : 'undecided')];
  }

  gates(): GateVerdict[] {
    const { wave, waveStartedAt } = this.rollout;
    return Object.keys(this.policy.gates ?? {}).map((gate) => {
      const moods = this.gateMoods[gate] ?? [];
      const mood = moods[Math.min(wave, moods.length - 1)];
      const knows = mood !== undefined && this.now >= waveStartedAt + mood.knowsAfterMs;
      return verdictOf(gate, knows ? this.said(mood) : 'undecided');
    });
  }

  private said({ says }: GateMood): GateVerdict['verdict'] {
    if (says !== 'wavers') return says;
    return Math.floor(this.now / 1000) % 2 === 0 ? 'pass' : 'undecided';
  }

  /** @param atMost as a control plane that carries out only a part before it is killed */
  carryOut(plan: Plan, atMost = Number.POSITIVE_INFINITY): void {
    const outcomes = new Map(plan.outcomes.map((outcome) => [outcome.device, outcome]));
    const assignments = new Map(plan.assignments.slice(0, atMost).map((one) => [one.device, one]));
    const shadowing = new Set(plan.shadowing.slice(0, atMost));
    const fetching = new Set((plan.prefetches ?? []).slice(0, atMost));
    this.devices = this.devices.map((before) => {
      const shadow = { can: 'yes', askedAt: this.now } as const;
      const one: RolloutDevice = {
        ...before,
        ...(shadowing.has(before.device) ? { shadow } : {}),
        ...(fetching.has(before.device) ? { prefetch: 'asked' } : {}),
      };
      const judged = withOutcome(one, outcomes.get(one.device));
      const assignment = assignments.get(one.device);
      if (assignment === undefined) return judged;
      if (assignment.action === 'deploy') this.deploys += 1;
      this.generations.set(one.device, (this.generations.get(one.device) ?? 0) + 1);
      this.wavesOf.set(one.device, (this.wavesOf.get(one.device) ?? new Set()).add(one.wave));
      const { attempts, assignedAt, ...outcome } = afterAssignment(judged, assignment, this.now);
      return { ...withOutcome(judged, outcome), attempts, assignedAt, touched: true };
    });
    this.rollout = withHolds(this.rollout, plan.holds ?? []);
    if (plan.transition !== undefined) this.rollout = afterTransition(this.rollout, plan.transition, this.now);
    this.look();
  }

  /** Carries out until nothing is left to do at this moment. @returns the last plan */
  settle(check: (plan: Plan) => void = () => undefined): Plan {
    for (let step = 0; step < 2000; step++) {
      const plan = this.plan();
      check(plan);
      if (isIdle(plan)) return plan;
      this.carryOut(plan);
    }
    throw new Error('it never comes to rest');
  }

  pass(ms: number): void {
    this.now += ms;
    this.look();
  }

  count(...standings: readonly RolloutDevice['standing'][]): number {
    return this.devices.filter(({ standing }) => standings.includes(standing)).length;
  }
}

export function verdictOf(gate: string, verdict: GateVerdict['verdict'], more: Partial<GateVerdict> = {}): GateVerdict {
  const numbers = { unit: 'share', value: 0.02, reference: null, bound: 0.01, samples: 31 } as const;
  const lack = verdict === 'undecided' ? { lack: { what: 'samples', text: '31 of 200 requests' } as const } : {};
  const head = { gate, kind: 'errors', measure: 'errors', module: 'digits', told: 1, devices: 1 };
  return { ...head, verdict, ...numbers, ...lack, ...more };
}

export function queued(device: string, wave: number): RolloutDevice {
  const seen = { online: true, offlineSince: 0, member: true, observed: { kind: 'working' } as const };
  const shadow = { can: 'yes' } as const;
  return { device, wave, standing: 'queued', attempts: 0, touched: false, shadow, ...seen };
}

function observationOf(one: RolloutDevice, mood: Mood, online: boolean, now: number): Observation {
  const underWay = one.standing === 'changing' || one.standing === 'returning' || one.standing === 'unreachable';
  if (!underWay)
    return one.standing === 'succeeded' || one.standing === 'returned' ? { kind: 'there' } : { kind: 'working' };
  if (!online || one.assignedAt === undefined || now < one.assignedAt + mood.takesMs) return { kind: 'working' };
  if (one.standing === 'returning' || mood.does === 'run') return { kind: 'there' };
  if (mood.does === 'reject') return { kind: 'failed', problem: { code: 'golden.mismatch', message: 'wrong' } };
  if (mood.does === 'nothing') return { kind: 'working' };
  return one.attempts > 1
    ? { kind: 'there' }
    : { kind: 'failed', problem: { code: 'golden.too-slow', message: 'slow' } };
}

export const anyMood: fc.Arbitrary<Mood> = fc.record({
  does: fc.constantFrom('run', 'run', 'run', 'stumble', 'reject', 'nothing'),
  takesMs: fc.integer({ min: 0, max: 40_000 }),
  awayFromMs: fc.constantFrom(0, 0, 1, 20_000, 90_000),
  awayForMs: fc.constantFrom(10_000, 100_000, 10_000_000),
  canary: fc.boolean(),
});

export const anyGateMood: fc.Arbitrary<GateMood> = fc.record({
  knowsAfterMs: fc.constantFrom(0, 30_000, 300_000),
  says: fc.constantFrom('pass', 'pass', 'pass', 'fail', 'undecided', 'wavers'),
});

/** For policies with none, one or two gates. */
export const anyGateMoods: fc.Arbitrary<Readonly<Record<string, readonly GateMood[]>>> = fc
  .array(fc.array(anyGateMood, { minLength: 1, maxLength: 3 }), { maxLength: 2 })
  .map((moods) => Object.fromEntries(moods.map((one, index) => [`g${String(index)}`, one])));

/** The policy with a gate for each mood. */
export function withGates(policy: RolloutPolicy, moods: Readonly<Record<string, unknown>>): RolloutPolicy {
  const gate = { kind: 'errors', maxPercent: 1 };
  return rolloutPolicySchema.parse({
    ...policy,
    gates: Object.fromEntries(Object.keys(moods).map((name) => [name, gate])),
  });
}

export const goodMood: fc.Arbitrary<Mood> = anyMood.map((mood) => ({ ...mood, does: 'run', awayFromMs: 0 }));

export const fleetOf = (mood: fc.Arbitrary<Mood>): fc.Arbitrary<ReadonlyMap<string, Mood>> =>
  fc
    .array(mood, { minLength: 1, maxLength: 30 })
    .map((moods) => new Map(moods.map((one, index) => [`d${String(index)}`, one])));

const share = fc.integer({ min: 0, max: 100 });
const bake = { bakeSeconds: fc.constantFrom(0, 30) };

export const anyPolicy: fc.Arbitrary<RolloutPolicy> = fc
  .record({
    first: fc.oneof(
      fc.record({ where: fc.constant('canary'), ...bake }),
      fc.record({ count: fc.integer({ min: 1, max: 4 }), ...bake }),
      fc.record({ percent: fc.integer({ min: 0, max: 20 }), ...bake }),
    ),
    second: fc.option(fc.record({ percent: fc.integer({ min: 21, max: 100 }), ...bake }), { nil: undefined }),
    maxUnavailable: fc.constantFrom(1, 2, 5, '10%', '50%', '100%'),
    rate: fc.option(fc.record({ perMinute: fc.integer({ min: 1, max: 20 }), factor: fc.constantFrom(1, 2) }), {
      nil: undefined,
    }),
    ...{ minSuccess: share, maxFailure: share, minExecuted: fc.integer({ min: 1, max: 10 }), maxUnreachable: share },
    onFailure: fc.constantFrom('pause', 'stop', 'rollback'),
    stepTimeoutSeconds: fc.constantFrom(30, 60),
    afterSeconds: fc.constantFrom(0, 60, 300),
  })
  .map(({ first, second, rate, minSuccess, maxFailure, minExecuted, maxUnreachable, afterSeconds, ...rest }) =>
    rolloutPolicySchema.parse({
      ...rest,
      waves: second === undefined ? [first] : [first, second],
      ...(rate === undefined ? {} : { rate }),
      success: { minPercent: minSuccess },
      failure: { maxPercent: maxFailure, minExecuted },
      unreachable: { afterSeconds, maxPercent: maxUnreachable },
      totalTimeoutSeconds: 7200,
    }),
  );
