import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { afterOrder } from '#cloud/rollout/apply.js';
import { type Freeze, frozenMs } from '#cloud/rollout/freeze.js';
import { planRollout } from '#cloud/rollout/plan.js';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';
import { type Mood, queued, RolloutWorld, startMs } from '#test/support/rollout-world.js';

const good: Mood = { does: 'run', takesMs: 10_000, awayFromMs: 0, awayForMs: 0, canary: false };
const names = ['a', 'b', 'c', 'd'];
const policy = rolloutPolicySchema.parse({ waves: [], maxUnavailable: 2, totalTimeoutSeconds: 600 });
const worldOf = (): RolloutWorld => new RolloutWorld(policy, new Map(names.map((name) => [name, good])));

/** Plans with these freezes of the workspace, and carries out what is planned. */
function settle(world: RolloutWorld, freezes: readonly Freeze[]): ReturnType<RolloutWorld['plan']> {
  for (let step = 0; step < 100; step++) {
    const plan = planRollout({ ...world, policy, freezes });
    if (plan.outcomes.length + plan.assignments.length === 0 && plan.transition === undefined) return plan;
    world.carryOut(plan);
  }
  throw new Error('it never comes to rest');
}

describe('while it is frozen a rollout', () => {
  const freeze: Freeze = { name: 'year-end', from: startMs, until: startMs + 3_600_000 };

  it('asks nobody, says which freeze holds them, and goes on when it is over, its deadline moved', () => {
    const world = worldOf();
    const plan = settle(world, [freeze]);
    expect(world.deploys).toBe(0);
    expect(plan.waiting).toEqual(
      names.map(() => expect.objectContaining({ kind: 'freeze', until: freeze.until, detail: 'year-end' }) as unknown),
    );
    world.pass(3_600_000);
    for (let step = 0; !world.isOver && step < 10; step++) {
      settle(world, [freeze]);
      world.pass(20_000);
    }
    expect(world.rollout.state).toBe('succeeded');
  });

  it('asks the devices that it does not hold', () => {
    const world = worldOf();
    settle(world, [{ ...freeze, devices: new Set(['a', 'b']) }]);
    expect(
      world.devices
        .filter(({ standing }) => standing === 'changing')
        .map(({ device }) => device)
        .sort(),
    ).toEqual(['c', 'd']);
  });

  it('lets those under way come to their end, and leads back who is to go back', () => {
    const world = worldOf();
    settle(world, []);
    world.pass(1000);
    settle(world, [freeze]);
    expect(world.deploys).toBe(2);
    world.rollout = afterOrder(world.rollout, { kind: 'rollback' }, world.now);
    settle(world, [freeze]);
    expect(world.count('returning')).toBe(2);
  });

  it('is not held any more once somebody says so', () => {
    const world = worldOf();
    settle(world, [freeze]);
    world.rollout = afterOrder(world.rollout, { kind: 'resume', ignoreFreeze: true }, world.now);
    settle(world, [freeze]);
    expect(world.deploys).toBe(2);
  });

  it('is held by the freezes of its own policy too', () => {
    const at = (ms: number): string => new Date(ms).toISOString();
    const own = rolloutPolicySchema.parse({ freeze: [{ from: at(startMs), until: at(startMs + 60_000) }] });
    const world = new RolloutWorld(own, new Map([['a', good]]));
    expect(world.settle().waiting).toMatchObject([{ kind: 'freeze', until: startMs + 60_000 }]);
  });
});

it('what is frozen twice at once counts once, whatever the freezes', () => {
  const freezes = fc.array(
    fc
      .tuple(fc.nat(100), fc.integer({ min: 1, max: 60 }))
      .map(([from, ms]): Freeze => ({ name: '', from, until: from + ms })),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(freezes, fc.nat(50), fc.integer({ min: 50, max: 150 }), (given, from, to) => {
      let frozen = 0;
      for (let at = from; at < to; at++) if (given.some((one) => one.from <= at && at < one.until)) frozen += 1;
      expect(frozenMs(given, from, to)).toBe(frozen);
    }),
  );
});

describe('single devices are led back', () => {
  it('while the others go on, and count no more', () => {
    const world = worldOf();
    world.settle();
    world.pass(10_000);
    world.settle();
    const [first = ''] = world.devices.filter(({ standing }) => standing === 'succeeded').map(({ device }) => device);
    world.rollout = afterOrder(world.rollout, { kind: 'rollback', devices: [first] }, world.now);
    for (let step = 0; !world.isOver && step < 10; step++) {
      world.settle();
      world.pass(10_000);
    }
    expect(world.rollout.state).toBe('succeeded');
    expect(world.devices.find(({ device }) => device === first)?.standing).toBe('returned');
    expect(world.count('succeeded')).toBe(3);
  });

  it('of a rollout that is over, which then is over as it was', () => {
    const world = worldOf();
    for (let step = 0; !world.isOver && step < 10; step++) {
      world.settle();
      world.pass(10_000);
    }
    world.rollout = afterOrder(world.rollout, { kind: 'rollback', devices: ['a', 'c', 'd'] }, world.now);
    world.settle((plan) => expect(plan.assignments.length).toBeLessThanOrEqual(2));
    expect(world.count('returning')).toBe(2);
    for (let step = 0; !world.isOver && step < 10; step++) {
      world.pass(10_000);
      world.settle();
    }
    expect(world.rollout.state).toBe('succeeded');
    expect(world.count('returned')).toBe(3);
  });

  it('but not those that were asked for nothing', () => {
    const device = queued('a', 1);
    const rollout = { ...worldOf().rollout, waves: 2, leadBack: ['a'] };
    expect(planRollout({ rollout, policy, devices: [device, queued('b', 0)], now: startMs }).assignments).toEqual([
      { device: 'b', action: 'deploy' },
    ]);
  });
});
