import { afterEach, expect, it } from 'vitest';
import { RolloutFleet } from './rollout-fleet.js';

const worlds: RolloutFleet[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close();
});

const open = async (): Promise<RolloutFleet> => {
  const world = await RolloutFleet.open(4);
  worlds.push(world);
  return world;
};

const policy = { waves: [{ count: 1 }], maxUnavailable: 2, onFailure: 'rollback', failure: { maxPercent: 40 } };

/** What happens outside, by the order of the rollout: the same in both worlds. */
async function answer(fleet: RolloutFleet): Promise<void> {
  const changing = await fleet.withStanding('changing');
  const done = (await fleet.withStanding('succeeded')).length;
  for (const [index, device] of changing.entries()) {
    if (done + index >= 1 && done < 3) await fleet.reject(device);
    else await fleet.obey(device);
  }
  await fleet.obey(...(await fleet.withStanding('returning')));
}

async function picture(fleet: RolloutFleet): Promise<object> {
  const desired = await fleet.world.control
    .selectFrom('devices')
    .select(['name', 'desiredGeneration', 'desiredRelease'])
    .orderBy('name')
    .execute();
  const { items } = await fleet.rollouts.history({ workspace: 'w', number: 1 }, { limit: 500 });
  const outbox = await fleet.world.outbox.count();
  const deployments = await fleet.world.control.selectFrom('deployments').select(['device', 'generation']).execute();
  const { rollout, revision } = await fleet.rollouts.require({ workspace: 'w', number: 1 });
  return { rollout, revision, standings: await fleet.standings(), desired, items, outbox, deployments };
}

it('a control plane that is cut off at each of its questions, and started anew, does exactly what one does that lives on', async () => {
  const whole = await open();
  await whole.start('vision:1', policy);
  const rounds = 8;
  for (let round = 0; round < rounds; round++) {
    await whole.turn();
    await answer(whole);
  }

  const cut = await open();
  await cut.start('vision:1', policy);
  let kills = 0;
  for (let round = 0; round < rounds; round++) {
    for (let n = 1; ; n++) {
      const before = await picture(cut);
      const { db, failed } = cut.failingAt(n);
      await cut.turn(db);
      if (!failed()) break;
      kills += 1;
      const after = await picture(cut);
      // Either nothing of a step is there, or all of it: then the next one is tried from its first question.
      if (JSON.stringify(after) !== JSON.stringify(before)) n = 0;
    }
    await answer(cut);
  }
  expect(kills).toBeGreaterThan(50);
  expect(await cut.state()).toBe('rolled-back');
  expect(await picture(cut)).toEqual(await picture(whole));
}, 60_000);
