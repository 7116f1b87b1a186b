import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { windowsAt } from '#shared/protocol/maintenance-window.js';
import { afterOrder } from '#cloud/rollout/apply.js';
import type { Plan } from '#cloud/rollout/plan.js';
import { type RolloutPolicy, rolloutPolicySchema, unavailableBudget } from '#cloud/rollout/policy.js';
import { anyMood, anyPolicy, fleetOf, goodMood, type Mood, RolloutWorld } from '#test/support/rollout-world.js';

const hourMs = 3_600_000;
const windows = fc.array(
  fc.record({
    cron: fc.tuple(fc.nat(59), fc.nat(23)).map(([minute, hour]) => `${String(minute)} ${String(hour)} * * *`),
    durationSeconds: fc.constantFrom(600, 7200, 36_000),
    timeZone: fc.constantFrom('UTC', undefined),
  }),
  { minLength: 1, maxLength: 2 },
);
const policyWithin = fc.record({ policy: anyPolicy, windows }).map(({ policy, windows: wanted }) =>
  rolloutPolicySchema.parse({
    ...policy,
    ...{ windows: wanted, totalTimeoutSeconds: 30 * 86_400, stepTimeoutSeconds: 600 },
    unreachable: { ...policy.unreachable, afterSeconds: 86_400 },
  }),
);

function worldOf(policy: RolloutPolicy, moods: ReadonlyMap<string, Mood>): RolloutWorld {
  const world = new RolloutWorld(policy, moods);
  world.devices = world.devices.map((one, index) => (index % 3 === 0 ? { ...one, timeZone: 'Asia/Kathmandu' } : one));
  return world;
}

const isOpen = (world: RolloutWorld, timeZone = 'UTC'): boolean =>
  windowsAt(world.policy.windows ?? [], timeZone, world.now).open;

/** Each hour a look, two days long. */
function live(world: RolloutWorld, hours: number, check: (plan: Plan) => void): void {
  for (let hour = 0; hour < hours && !world.isOver; hour++) {
    world.settle(check);
    world.pass(hourMs);
  }
}

describe('a rollout with maintenance windows', () => {
  it('asks nobody whose window is closed, and never too many whose window is open', () => {
    fc.assert(
      fc.property(policyWithin, fleetOf(anyMood), (policy, moods) => {
        const world = worldOf(policy, moods);
        const budget = unavailableBudget(policy, moods.size);
        live(world, 30, ({ assignments, outcomes }) => {
          const deploys = assignments.filter(({ action }) => action === 'deploy').map(({ device }) => device);
          if (deploys.length === 0) return;
          const ended = new Set(outcomes.map(({ device }) => device));
          const open = world.devices.filter((one) => isOpen(world, one.timeZone));
          expect(open.map(({ device }) => device)).toEqual(expect.arrayContaining(deploys));
          const changing = open.filter(({ device, standing }) => standing === 'changing' && !ended.has(device));
          expect(changing.length + deploys.length).toBeLessThanOrEqual(budget);
        });
      }),
      { numRuns: 12 },
    );
  });

  it('over a fleet that does as it is asked succeeds, and nobody runs out of time while it waits', () => {
    fc.assert(
      fc.property(policyWithin, fleetOf(goodMood), (policy, moods) => {
        const world = worldOf({ ...policy, rate: undefined }, moods);
        for (let step = 0; !world.isOver && step < 300; step++) {
          const { waiting } = world.settle();
          const opens = waiting.flatMap(({ kind, until = 0 }) => (kind === 'window' ? [until] : []));
          const closed = opens.length > 0 && waiting.every(({ kind }) => kind === 'window' || kind === 'wave');
          world.pass(closed ? Math.min(...opens) - world.now : 41_000);
        }
        expect(world.rollout.state).toBe('succeeded');
        expect(world.deploys).toBe(moods.size);
      }),
      { numRuns: 12 },
    );
  });

  it('takes back what waits for its window when it is aborted', () => {
    const policy = rolloutPolicySchema.parse({
      ...{ waves: [], maxUnavailable: '100%', windows: [{ cron: '0 2 * * *', durationSeconds: 3600 }] },
    });
    const mood: Mood = { does: 'run', takesMs: 20_000, awayFromMs: 0, awayForMs: 0, canary: false };
    const world = new RolloutWorld(policy, new Map([['late', mood]]));
    world.now = 3 * hourMs - 10_000;
    world.settle();
    world.pass(15_000);
    expect(world.settle().waiting).toEqual([{ device: 'late', kind: 'window', until: 26 * hourMs }]);
    // However long that is, it does not run out of its step's time.
    world.pass(20 * hourMs);
    expect(world.settle().waiting).toEqual([{ device: 'late', kind: 'window', until: 26 * hourMs }]);
    world.rollout = afterOrder(world.rollout, { kind: 'abort', running: false }, world.now);
    expect(world.plan().assignments).toEqual([{ device: 'late', action: 'return' }]);
  });
});
