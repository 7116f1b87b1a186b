import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { afterOrder, type Order } from '#cloud/rollout/apply.js';
import { changingCount } from '#cloud/rollout/deadlines.js';
import { isIdle, type Plan } from '#cloud/rollout/plan.js';
import { unavailableBudget } from '#cloud/rollout/policy.js';
import {
  anyGateMoods,
  anyMood,
  anyPolicy,
  fleetOf,
  goodMood,
  RolloutWorld,
  withGates,
} from '#test/support/rollout-world.js';

const open = ['queued', 'changing', 'returning'] as const;
const passing = fc.array(fc.integer({ min: 1, max: 120_000 }), { minLength: 1, maxLength: 40 });
const orders = fc.array(
  fc.record({
    at: fc.nat({ max: 39 }),
    order: fc.constantFrom<Order>(
      ...[{ kind: 'pause' } as const, { kind: 'resume' } as const, { kind: 'approve' } as const],
      ...[{ kind: 'abort', running: false } as const, { kind: 'abort', running: true } as const],
      { kind: 'rollback' },
    ),
  }),
  { maxLength: 4 },
);

/** Time passes, people interfere where they may, and each plan is seen before it is carried out. */
function live(
  world: RolloutWorld,
  steps: readonly number[],
  given: readonly { at: number; order: Order }[],
  check: (plan: Plan) => void,
): void {
  for (const [index, ms] of steps.entries()) {
    world.settle(check);
    world.pass(ms);
    for (const { at, order } of given) if (at === index) obey(world, order);
  }
}

function obey(world: RolloutWorld, order: Order): void {
  try {
    world.rollout = afterOrder(world.rollout, order, world.now);
  } catch (error) {
    expect(error).toMatchObject({ code: 'rollout.state' });
  }
}

const story = {
  ...{ policy: anyPolicy, moods: fleetOf(anyMood), gates: anyGateMoods },
  ...{ steps: passing, given: orders },
};

describe('whatever devices, clocks and people do', () => {
  it('no assignment takes the changing devices above the budget', () => {
    fc.assert(
      fc.property(fc.record(story), ({ policy, moods, gates, steps, given }) => {
        const world = new RolloutWorld(withGates(policy, gates), moods, gates);
        const budget = unavailableBudget(policy, moods.size);
        live(world, steps, given, (plan) => {
          const before = world.devices;
          const turned = new Set(plan.assignments.map(({ device }) => device));
          const outcomes = new Map(plan.outcomes.map((one) => [one.device, one.standing]));
          const standing = before.map(({ device, standing: was }) => outcomes.get(device) ?? was);
          const fresh = before.filter(({ device }, index) => turned.has(device) && standing[index] !== 'changing');
          if (fresh.length > 0) {
            const after = changingCount(standing.map((one) => ({ standing: one }))) + fresh.length;
            expect(after).toBeLessThanOrEqual(budget);
          }
        });
      }),
    );
  });

  it('one that is paused, aborted or failed deploys nothing, and nothing is assigned beside a transition', () => {
    fc.assert(
      fc.property(fc.record(story), ({ policy, moods, gates, steps, given }) => {
        const world = new RolloutWorld(withGates(policy, gates), moods, gates);
        live(world, steps, given, ({ assignments, transition }) => {
          const { state, ending } = world.rollout;
          if (state === 'paused' || world.isOver) expect(assignments).toEqual([]);
          if (state === 'ending') {
            expect(assignments.filter(({ action }) => action === 'deploy')).toEqual([]);
            if (ending?.returns === 'none') expect(assignments).toEqual([]);
          }
          if (transition !== undefined) expect(assignments).toEqual([]);
        });
      }),
    );
  });

  it('no device is in two waves, none has its turn before its wave, and generations only rise', () => {
    fc.assert(
      fc.property(fc.record(story), ({ policy, moods, gates, steps, given }) => {
        const world = new RolloutWorld(withGates(policy, gates), moods, gates);
        const seen = new Map<string, number>();
        live(world, steps, given, ({ assignments }) => {
          for (const { device, action } of assignments) {
            const wave = world.devices.find((one) => one.device === device)?.wave ?? -1;
            if (action === 'deploy') expect(wave).toBeLessThanOrEqual(world.rollout.wave);
          }
          for (const [device, generation] of world.generations) {
            expect(generation).toBeGreaterThanOrEqual(seen.get(device) ?? 0);
            seen.set(device, generation);
          }
        });
        for (const waves of world.wavesOf.values()) expect(waves.size).toBe(1);
        expect(world.devices.length).toBe(moods.size);
      }),
    );
  });

  it('each device has ended or has one wait, with a deadline ahead unless it is paused', () => {
    fc.assert(
      fc.property(fc.record(story), ({ policy, moods, gates, steps, given }) => {
        const world = new RolloutWorld(withGates(policy, gates), moods, gates);
        live(world, steps, given, () => undefined);
        const plan = world.settle();
        const waiting = new Map(plan.waiting.map((wait) => [wait.device, wait]));
        expect(waiting.size).toBe(plan.waiting.length);
        for (const { device, standing } of world.devices) {
          const isOpen = open.some((one) => one === standing);
          if (isOpen) expect(waiting.has(device)).toBe(true);
          const wait = waiting.get(device);
          if (wait === undefined) continue;
          if (wait.kind === 'paused') expect(world.rollout.state).toBe('paused');
          else expect(wait.until).toBeGreaterThan(world.now);
        }
        if (world.isOver) expect(world.count(...open)).toBe(0);
      }),
    );
  });

  it('the order of the input changes nothing, nor does planning twice', () => {
    fc.assert(
      fc.property(fc.record({ ...story, seed: fc.integer() }), ({ policy, moods, gates, steps, given, seed }) => {
        const world = new RolloutWorld(withGates(policy, gates), moods, gates);
        live(world, steps.slice(0, 10), given, (plan) => {
          expect(world.plan()).toEqual(plan);
          expect(world.plan(shuffled(world.devices, seed))).toEqual(plan);
          const others = world.plan(world.devices, shuffled(world.gates(), seed));
          expect({ ...others, gates: plan.gates }).toEqual(plan);
        });
      }),
    );
  });

  it('a control plane that is killed anywhere, and plans anew, comes to the same end', () => {
    fc.assert(
      fc.property(
        fc.record({ ...story, cuts: fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 20 }) }),
        ({ policy, moods, gates, steps, given, cuts }) => {
          const whole = new RolloutWorld(withGates(policy, gates), moods, gates);
          const cut = new RolloutWorld(withGates(policy, gates), moods, gates);
          let turn = 0;
          for (const [index, ms] of steps.entries()) {
            whole.settle();
            // Of each plan a part is carried out, what was judged first; then everything is forgotten.
            for (let plan = cut.plan(); ; plan = cut.plan()) {
              if (isIdle(plan)) break;
              cut.carryOut(plan, 1 + (cuts[turn++ % cuts.length] ?? 0));
            }
            for (const world of [whole, cut]) {
              world.pass(ms);
              for (const { at, order } of given) if (at === index) obey(world, order);
            }
          }
          expect(cut.rollout).toEqual(whole.rollout);
          expect(cut.devices).toEqual(whole.devices);
          expect(cut.deploys).toBe(whole.deploys);
        },
      ),
    );
  });
});

describe('what holds a wave', () => {
  it('is told once a wave and cause, of a wave that is over, whatever gates say from moment to moment', () => {
    fc.assert(
      fc.property(fc.record(story), ({ policy, moods, gates, steps, given }) => {
        const waves = policy.waves.map((wave) => ({ ...wave, approval: true }));
        const world = new RolloutWorld(withGates({ ...policy, waves }, gates), moods, gates);
        const told = new Set<string>();
        const check = ({ holds = [], outcomes, transition, assignments }: Plan): void => {
          for (const { cause } of holds) {
            const { wave } = world.rollout;
            expect(told).not.toContain(`${String(wave)} ${cause}`);
            told.add(`${String(wave)} ${cause}`);
            const ends = new Set(outcomes.map(({ device }) => device));
            const left = world.devices.filter((one) => one.wave <= wave && !ends.has(one.device));
            expect(left.filter(({ standing }) => standing === 'queued' || standing === 'changing')).toEqual([]);
          }
          if (holds.length > 0) expect([transition, assignments]).toEqual([undefined, []]);
        };
        live(world, steps, given, check);
        // Who waits for one of them waits for what was told.
        for (const { kind, detail } of world.settle(check).waiting) {
          const { wave } = world.rollout;
          if (kind === 'approval') expect(told).toContain(`${String(wave)} approval`);
          if (kind === 'gate') expect(told).toContain(`${String(wave)} ${String(detail?.split(':')[0])}`);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('a rollout', () => {
  it('over a fleet that does as it is asked succeeds in bounded steps', () => {
    fc.assert(
      fc.property(anyPolicy, fleetOf(goodMood), (policy, moods) => {
        const world = new RolloutWorld({ ...policy, stepTimeoutSeconds: 60 }, moods);
        for (let minute = 0; !world.isOver && minute < 120; minute++) {
          world.settle();
          world.pass(41_000);
        }
        expect(world.rollout.state).toBe('succeeded');
        expect(world.count('succeeded')).toBe(moods.size);
        expect(world.deploys).toBe(moods.size);
      }),
    );
  });

  it('always ends once nobody holds it up: by its total timeout at the latest', () => {
    fc.assert(
      fc.property(anyPolicy, fleetOf(anyMood), anyGateMoods, (policy, moods, gates) => {
        const onFailure = policy.onFailure === 'pause' ? 'stop' : policy.onFailure;
        const world = new RolloutWorld(withGates({ ...policy, onFailure }, gates), moods, gates);
        for (let step = 0; !world.isOver && step < 300; step++) {
          world.settle();
          if (world.rollout.state === 'paused') obey(world, { kind: 'resume' });
          world.pass(60_000);
        }
        expect(world.isOver).toBe(true);
        if (world.rollout.state === 'rolled-back') expect(world.count('succeeded', 'changing')).toBe(0);
      }),
    );
  });
});

function shuffled<T>(items: readonly T[], seed: number): T[] {
  return items
    .map((item, index) => ({ item, key: Math.imul(index + 1, seed | 1) >>> 0 }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}
