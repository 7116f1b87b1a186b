import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { afterOrder, type Order } from '#cloud/rollout/apply.js';
import { isAccepted } from '#cloud/rollout/gates/gate-step.js';
import { gateCause } from '#cloud/rollout/holds.js';
import type { Plan } from '#cloud/rollout/plan.js';
import { type RolloutPolicy, rolloutPolicySchema } from '#cloud/rollout/policy.js';
import { shadowGate } from '#cloud/rollout/shadow/shadow-verdicts.js';
import {
  anyGateMood,
  anyMood,
  anyPolicy,
  fleetOf,
  type GateMood,
  goodMood,
  RolloutWorld,
} from '#test/support/rollout-world.js';

const shadowed = (policy: RolloutPolicy, seconds: number): RolloutPolicy =>
  rolloutPolicySchema.parse({ ...policy, shadow: { seconds } });
const orders = fc.array(
  fc.constantFrom<Order | undefined>(
    ...[undefined, undefined, undefined, { kind: 'pause' } as const, { kind: 'resume' } as const],
    ...[{ kind: 'abort', running: true } as const, { kind: 'rollback' } as const],
  ),
  { maxLength: 40 },
);

function live(world: RolloutWorld, given: readonly (Order | undefined)[], check: (plan: Plan) => void): void {
  for (const order of given) {
    world.settle(check);
    world.pass(20_000);
    if (order === undefined) continue;
    try {
      world.rollout = afterOrder(world.rollout, order, world.now);
    } catch (error) {
      expect(error).toMatchObject({ code: 'rollout.state' });
    }
  }
}

describe('a rollout with a shadow', () => {
  it('lets no device switch before its shadows have passed, or somebody went on in spite of them', () => {
    const story = [anyPolicy, fleetOf(anyMood), anyGateMood, fc.constantFrom(0, 60), orders] as const;
    fc.assert(
      fc.property(...story, (policy, moods, mood, seconds, given) => {
        const world = new RolloutWorld(shadowed(policy, seconds), moods, {}, mood);
        let passedAt: number | undefined;
        const heldIn = new Set<number>();
        live(world, given, ({ assignments, transition, shadowing, holds = [] }) => {
          const own = holds.filter(({ cause }) => cause === gateCause(shadowGate));
          if (own.length > 0) {
            const asked = world.devices.flatMap(({ shadow }) => shadow?.askedAt ?? []);
            expect(world.now).toBeGreaterThanOrEqual(Math.min(...asked) + seconds * 1000);
            expect(passedAt).toBeUndefined();
            expect(heldIn).not.toContain(world.rollout.wave);
            heldIn.add(world.rollout.wave);
          }
          if (transition?.kind === 'shadowed') {
            const asked = world.devices.flatMap(({ shadow }) => shadow?.askedAt ?? []);
            const hasPassed = world.shadows().some(({ verdict }) => verdict === 'pass');
            const isWatched = world.now >= Math.min(...asked) + seconds * 1000;
            expect((hasPassed && isWatched) || isAccepted(shadowGate, world.rollout)).toBe(true);
            passedAt = world.now;
          }
          if (passedAt === undefined) expect(assignments.filter(({ action }) => action === 'deploy')).toEqual([]);
          if (world.rollout.state !== 'running' || transition !== undefined) expect(shadowing).toEqual([]);
        });
      }),
    );
  });

  it('asks the devices whose turn it is, once each, whatever order they stand in', () => {
    fc.assert(
      fc.property(anyPolicy, fleetOf(anyMood), anyGateMood, (policy, moods, mood) => {
        const world = new RolloutWorld(shadowed(policy, 0), moods, {}, mood);
        const asked: string[] = [];
        live(world, new Array<undefined>(20).fill(undefined), ({ shadowing }) => {
          expect(world.plan([...world.devices].reverse()).shadowing).toEqual(shadowing);
          const waves = new Map(world.devices.map(({ device, wave }) => [device, wave]));
          for (const device of shadowing) expect(waves.get(device)).toBeLessThanOrEqual(world.rollout.wave);
          asked.push(...shadowing);
        });
        expect(new Set(asked).size).toBe(asked.length);
      }),
      { numRuns: 50 },
    );
  });

  it('goes over a fleet that works once its shadows agree', () => {
    const agrees: GateMood = { knowsAfterMs: 30_000, says: 'pass' };
    const quick = goodMood.map((mood) => ({ ...mood, takesMs: Math.min(mood.takesMs, 10_000) }));
    fc.assert(
      fc.property(anyPolicy, fleetOf(quick), (policy, moods) => {
        const world = new RolloutWorld(shadowed(policy, 60), moods, {}, agrees);
        for (let step = 0; step < 400 && !world.isOver; step++) {
          world.settle();
          world.pass(10_000);
        }
        expect(world.rollout.state).toBe('succeeded');
        expect(world.rollout.shadowedAt).toBeDefined();
      }),
      { numRuns: 50 },
    );
  });
});
