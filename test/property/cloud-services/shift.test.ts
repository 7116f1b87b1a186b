import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { GateVerdict } from '#cloud/rollout/gates/gate-model.js';
import { afterPause, afterResume, afterShiftStep, withShiftHolds } from '#cloud/services/shift/apply.js';
import { beginShift } from '#cloud/services/shift/begin.js';
import { planShift, type ShiftPlan } from '#cloud/services/shift/plan.js';
import { isOver, type Readiness, type Shift, stagesOf, type Weights } from '#cloud/services/shift/shift-model.js';
import { type ShiftPolicy, shiftPolicySchema } from '#cloud/services/shift/shift-policy.js';
import { isAccepted } from '#cloud/services/shift/stage-verdicts.js';
import { weightsAt } from '#cloud/services/shift/weights.js';

const numbers = { unit: 'share', value: 0, reference: null, bound: 0.1, samples: 9, told: 1, devices: 1 } as const;
const said = (gate: string, verdict: GateVerdict['verdict']): GateVerdict => {
  const lack = verdict === 'undecided' ? { lack: { what: 'samples', text: '9 of 200' } as const } : {};
  return { gate, kind: gate, measure: gate, module: 'm', verdict, ...numbers, ...lack };
};

/** Percent of up to four deployments that answer before. */
const anyTraffic = fc
  .uniqueArray(fc.integer({ min: 1, max: 99 }), { maxLength: 3 })
  .map((cuts) => [0, ...cuts.sort((a, b) => a - b), 100])
  .map((cuts) =>
    Object.fromEntries(cuts.slice(1).map((cut, index) => [`blue-${String(index)}`, cut - (cuts[index] ?? 0)])),
  );
const anyPolicy = fc
  .record({
    percents: fc.uniqueArray(fc.integer({ min: 1, max: 99 }), { maxLength: 4 }),
    bakeSeconds: fc.constantFrom(0, 60),
    copies: fc.boolean(),
    gates: fc.uniqueArray(fc.constantFrom('errors', 'speed'), { maxLength: 2 }),
    onFailure: fc.constantFrom('return' as const, 'pause' as const),
  })
  .map(({ percents, bakeSeconds, copies, gates, onFailure }) =>
    shiftPolicySchema.parse({
      steps: [...percents.sort((a, b) => a - b), 100].map((percent) => ({ percent, bakeSeconds })),
      ...(copies ? { mirror: { percent: 20, seconds: 30 } } : {}),
      gates: Object.fromEntries(gates.map((gate) => [gate, { kind: 'errors', maxPercent: 1 }])),
      onFailure,
    }),
  );
const verdict = fc.constantFrom<GateVerdict['verdict']>(
  ...(['pass', 'pass', 'pass', 'undecided', 'undecided', 'undecided', 'fail'] as const),
);
interface Moment {
  readonly passedMs: number;
  readonly verdict: GateVerdict['verdict'];
  readonly ready: boolean;
  readonly order: 'pause' | 'resume' | 'none';
}
const anyMoment: fc.Arbitrary<Moment> = fc.record({
  passedMs: fc.constantFrom(1_000, 29_000, 61_000),
  verdict,
  ready: fc.constantFrom(true, true, true, false),
  order: fc.constantFrom('none', 'none', 'none', 'pause', 'resume'),
});

/** Those without traffic before. */
const aside = ['green', 'cyan'];
/** Who got copies before. */
const anyMirror = fc.constantFrom(undefined, ...aside.map((deployment) => ({ deployment, percent: 10 })));

class ShiftWorld {
  now = 1_000_000;
  shift: Shift;

  constructor(
    readonly traffic: Weights['traffic'],
    readonly policy: ShiftPolicy,
    mirror?: Weights['mirror'],
  ) {
    const names = [...Object.keys(traffic), ...aside];
    const image = { name: 'm', version: 1, digest: 'sha256:0', size: 1, signature: { digest: 'sha256:0', size: 1 } };
    const deployments = names.map(
      (name) => ({ name, revision: 1, image }) as Parameters<typeof beginShift>[0]['deployments'][number],
    );
    const endpoint = { name: 'fraud', traffic, mirror };
    this.shift = beginShift({ endpoint, deployments, to: 'green', policy, now: this.now });
  }

  verdicts(verdict: GateVerdict['verdict']): GateVerdict[] {
    const stage = stagesOf(this.policy)[this.shift.stage];
    if (stage?.kind === 'mirror')
      return ['shadow', 'shadow-errors'].map((gate) => ({ ...said(gate, verdict), kind: 'shadow' }));
    return stage === undefined ? [] : Object.keys(this.policy.gates ?? {}).map((gate) => said(gate, verdict));
  }

  plan({ verdict: is, ready }: Pick<Moment, 'verdict' | 'ready'>, turned = false): ShiftPlan {
    const { shift, policy, now } = this;
    const readiness: Readiness = ready
      ? { kind: 'ready' }
      : { kind: 'waiting', text: 'it starts', since: now, unhealthy: false };
    const deployments = [...Object.keys(this.traffic), ...aside].map((name) => ({ name, revision: 1, empty: false }));
    const verdicts = this.verdicts(is);
    const present = { weights: shift.set, deployments: turned ? deployments.toReversed() : deployments };
    return planShift({ shift, policy, readiness, present, now, verdicts: turned ? verdicts.toReversed() : verdicts });
  }

  /** Everything that is to be done now. */
  settle(moment: Moment, check: (plan: ShiftPlan) => void): void {
    for (let step = 0; step < 20; step++) {
      const plan = this.plan(moment);
      check(plan);
      this.shift = withShiftHolds(this.shift, plan.holds);
      if (plan.transition === undefined) return;
      this.shift = afterShiftStep(this.shift, plan.transition, this.now);
    }
    throw new Error('it never comes to rest');
  }

  obey(order: Moment['order']): void {
    if (order === 'pause' && this.shift.state === 'running') this.shift = afterPause(this.shift, this.now);
    if (order === 'resume' && this.shift.state === 'paused') this.shift = afterResume(this.shift, this.now);
  }
}

const story = [anyTraffic, anyPolicy, fc.array(anyMoment, { minLength: 10, maxLength: 30 })] as const;

describe('whatever gates say and people do', () => {
  it('a stage is left only when it was watched, its gates passed or were accepted, and there are replicas', () => {
    fc.assert(
      fc.property(...story, (traffic, policy, moments) => {
        const world = new ShiftWorld(traffic, policy);
        const stages = stagesOf(policy);
        for (const moment of moments) {
          world.settle(moment, ({ transition }) => {
            if (transition?.kind !== 'advance' && transition?.kind !== 'finish') return;
            const { shift } = world;
            expect({ state: shift.state, ready: moment.ready }).toEqual({ state: 'running', ready: true });
            if (transition.kind === 'advance') expect(transition.stage).toBe(shift.stage + 1);
            const stage = stages[shift.stage];
            if (stage === undefined) return;
            const goesOn = stage.kind === 'mirror' && isAccepted('shadow', shift);
            if (!goesOn) expect(world.now).toBeGreaterThanOrEqual(shift.stageStartedAt + stage.bakeSeconds * 1000);
            for (const { gate, kind, verdict: is } of world.verdicts(moment.verdict)) {
              if (!isAccepted(kind === 'shadow' ? 'shadow' : gate, shift)) expect(is).toBe('pass');
            }
          });
          world.obey(moment.order);
          world.now += moment.passedMs;
        }
      }),
    );
  });

  it('weights add up to 100, the target has what its stage gives it, and all is as before after a return', () => {
    fc.assert(
      fc.property(...story, anyMirror, (traffic, policy, moments, before) => {
        const world = new ShiftWorld(traffic, policy, before);
        for (const moment of moments) {
          world.settle(moment, ({ transition }) => {
            if (transition === undefined || !('weights' in transition)) return;
            const { traffic: given, mirror } = transition.weights;
            expect(Object.values(given).reduce((sum, percent) => sum + percent, 0)).toBe(100);
            if (transition.kind === 'return')
              return expect({ given, mirror }).toEqual({ given: traffic, mirror: before });
            const stage = stagesOf(policy)[transition.stage];
            expect(given['green']).toBe(stage?.kind === 'step' ? stage.percent : undefined);
            if (stage?.kind === 'mirror') return expect(mirror).toMatchObject({ deployment: 'green', percent: 20 });
            // Other copies go on; one that answers gets none.
            return expect(mirror).toEqual(before?.deployment === 'green' ? undefined : before);
          });
          world.now += moment.passedMs;
        }
      }),
    );
  });

  it('one that is paused or over does nothing; what holds a stage is told once; one that fails ends or waits', () => {
    fc.assert(
      fc.property(...story, (traffic, policy, moments) => {
        const world = new ShiftWorld(traffic, policy);
        const told = new Set<string>();
        for (const moment of moments) {
          world.settle(moment, ({ transition, holds, waiting }) => {
            const { state, stage } = world.shift;
            if (state !== 'running') expect({ transition, holds }).toEqual({ transition: undefined, holds: [] });
            if (transition === undefined && !isOver(state)) expect(waiting).not.toEqual([]);
            if (transition?.kind === 'pause') expect(policy.onFailure).toBe('pause');
            for (const { cause } of holds) {
              expect(told).not.toContain(`${String(stage)} ${cause}`);
              told.add(`${String(stage)} ${cause}`);
            }
          });
          if (isOver(world.shift.state)) expect(['succeeded', 'returned']).toContain(world.shift.state);
          world.obey(moment.order);
          world.now += moment.passedMs;
        }
      }),
    );
  });

  it('the order of what it looks at changes nothing', () => {
    fc.assert(
      fc.property(...story, (traffic, policy, moments) => {
        const world = new ShiftWorld(traffic, policy);
        for (const moment of moments) {
          expect(world.plan(moment, true)).toEqual(world.plan(moment));
          world.settle(moment, () => undefined);
          world.now += moment.passedMs;
        }
      }),
    );
  });

  it('a good target comes to answer everything, a bad one leaves all as it was', () => {
    fc.assert(
      fc.property(anyTraffic, anyPolicy, fc.nat(5), (traffic, policy, worseFrom) => {
        const [good, bad] = [new ShiftWorld(traffic, policy), new ShiftWorld(traffic, policy)];
        const moment: Moment = { passedMs: 70_000, verdict: 'pass', ready: true, order: 'none' };
        for (let turn = 0; turn < 12; turn++) {
          good.settle(moment, () => undefined);
          bad.settle({ ...moment, verdict: turn >= worseFrom ? 'fail' : 'pass' }, () => undefined);
          for (const world of [good, bad]) world.now += moment.passedMs;
        }
        expect(good.shift).toMatchObject({ state: 'succeeded', set: { traffic: { green: 100 } } });
        const { state, set, reason } = bad.shift;
        if (reason === undefined) expect(set.traffic).toEqual({ green: 100 });
        else if (policy.onFailure === 'pause') expect(state).toBe('paused');
        else expect({ state, traffic: set.traffic }).toEqual({ state: 'returned', traffic });
      }),
    );
  });

  it('the others keep their shares of what is left, to a percent', () => {
    fc.assert(
      fc.property(anyTraffic, fc.integer({ min: 1, max: 100 }), (traffic, percent) => {
        const after = weightsAt(traffic, 'green', percent);
        for (const [name, before] of Object.entries(traffic)) {
          expect(Math.abs((after[name] ?? 0) - ((100 - percent) * before) / 100)).toBeLessThan(1);
        }
      }),
    );
  });
});
