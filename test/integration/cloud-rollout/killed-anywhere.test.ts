import { afterEach, expect, it } from 'vitest';
import { AlertRepository } from '#cloud/alerts/alert-repository.js';
import { alertRuleSchema } from '#cloud/alerts/alert-rule.js';
import type { RolloutNotice } from '#cloud/alerts/rollout-notice.js';
import { RolloutFleet } from './rollout-fleet.js';

const worlds: RolloutFleet[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close();
});

const open = async (): Promise<RolloutFleet> => {
  const world = await RolloutFleet.open(4);
  const rule = alertRuleSchema.parse({ name: 'rollouts', rollout: 'any', notify: ['ops'] });
  const at = '2026-01-01T00:00:00.000Z';
  await new AlertRepository(world.world.control).putRule({ workspace: 'w', rule, createdAt: at, updatedAt: at });
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

async function told(fleet: RolloutFleet, destination: string): Promise<readonly RolloutNotice[]> {
  const rows = await fleet.world.control
    .selectFrom('alertOutbox')
    .select('payload')
    .where('destination', '=', destination)
    .orderBy('id')
    .execute();
  return rows.map(({ payload }) => JSON.parse(payload) as RolloutNotice);
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
  const told = await fleet.world.control.selectFrom('alertOutbox').select(['destination', 'payload']).execute();
  return { rollout, revision, standings: await fleet.standings(), desired, items, outbox, deployments, told };
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
  // Each transition once to the log and once to the webhook, in the order of the history.
  const { items } = await cut.rollouts.history({ workspace: 'w', number: 1 }, { limit: 500 });
  const transitions = items.filter(({ device }) => device === undefined).toReversed();
  for (const destination of ['', 'ops']) {
    const notices = await told(cut, destination);
    expect(notices.map(({ type }) => type)).toEqual(transitions.map(({ kind }) => `rollout.${kind}`));
    expect(new Set(notices.map(({ id }) => id)).size).toBe(transitions.length);
    expect(notices.at(-1)?.summary).toBe(
      'rollout 1 of vision:1 over all: rolled-back, the rollout is over: rolled-back',
    );
  }
}, 60_000);
