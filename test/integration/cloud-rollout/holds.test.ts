import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AlertRepository } from '#cloud/alerts/alert-repository.js';
import { alertRuleSchema } from '#cloud/alerts/alert-rule.js';
import type { RolloutNotice } from '#cloud/alerts/rollout-notice.js';
import type { LiveEvent } from '#cloud/live/live-events.js';
import { noNumbers } from '#cloud/telemetry/cohort-numbers.js';
import { RolloutFleet } from './rollout-fleet.js';

let fleet: RolloutFleet;
/** What devices have told of the release, as of now. */
let requests = 31;
const streamed: LiveEvent[] = [];

beforeAll(async () => {
  fleet = await RolloutFleet.open(3);
  fleet.telemetry = { ...fleet.telemetry, cohort: async () => ({ ...noNumbers(), devices: 1, requests }) };
  const at = '2026-01-01T00:00:00.000Z';
  const rule = alertRuleSchema.parse({ name: 'held', rollout: ['held'], notify: ['ops'] });
  await new AlertRepository(fleet.world.control).putRule({ workspace: 'w', rule, createdAt: at, updatedAt: at });
  fleet.world.live.subscribeToAll((event) => streamed.push(event));
  const gate = { kind: 'errors', maxPercent: 10, minSamples: 50 };
  const waves = [{ count: 1, bakeSeconds: 60, approval: true }];
  await fleet.start('vision:1', { waves, maxUnavailable: '100%', gates: { errors: gate, faults: gate } });
});
afterAll(() => fleet.close());

const address = { workspace: 'w', number: 1 };
const lacks = (gate: string): string => `gate ${gate}: errors of detector lacks 31 of 50 requests`;
const approval = 'waits for approval: flotilla rollout approve 1';

async function told(): Promise<string[]> {
  const { items } = await fleet.rollouts.history(address, { limit: 500 });
  return items.flatMap(({ kind, text }) => (kind === 'held' ? [text] : [])).toReversed();
}

async function notices(): Promise<RolloutNotice[]> {
  const outbox = fleet.world.control.selectFrom('alertOutbox').select('payload').where('destination', '=', 'ops');
  const rows = await outbox.orderBy('id').execute();
  return rows.map(({ payload }) => JSON.parse(payload) as RolloutNotice);
}

/** A device's turn is over, and its wave has been watched for as long as it says. */
async function endWave(): Promise<void> {
  await fleet.turn();
  await fleet.obey(...(await fleet.withStanding('changing')));
  await fleet.turn();
}

describe('a wave that is over but for a gate or an approval', () => {
  it('says nothing of it while it is watched', async () => {
    await endWave();
    expect(await told()).toEqual([]);
  });

  it('says so once of each gate, cut off at whatever question of that step', async () => {
    fleet.world.clock.nowMs += 60_000;
    let kills = 0;
    for (let n = 1; n < 200; n++) {
      const { db, failed } = fleet.failingAt(n);
      await fleet.turn(db);
      // Of the step all is there, or nothing.
      expect((await notices()).length).toBe((await told()).length);
      if (!failed()) break;
      kills += 1;
    }
    expect(kills).toBeGreaterThan(10);
    expect(await told()).toEqual([lacks('errors'), lacks('faults')]);
  });

  it('then waits for a person, and says that once, whatever gates say from moment to moment', async () => {
    for (const now of [60, 31, 60, 31, 60]) {
      requests = now;
      await fleet.turn();
    }
    expect(await told()).toEqual([lacks('errors'), lacks('faults'), approval]);
    expect((await fleet.rollouts.require(address)).rollout).toMatchObject({ state: 'running', wave: 0 });
  });

  it('goes on when it may; the next wave says its own', async () => {
    await fleet.office.order(address, { kind: 'approve' }, 'somebody');
    await fleet.turn();
    requests = 31;
    await endWave();
    expect(await told()).toEqual([lacks('errors'), lacks('faults'), approval, lacks('errors'), lacks('faults')]);
    requests = 60;
    await fleet.turn();
    expect(await fleet.state()).toBe('succeeded');
  });

  it('told each to rules that ask for it, and to who listens', async () => {
    const sent = await notices();
    const texts = await told();
    expect(sent.map(({ type }) => type)).toEqual(texts.map(() => 'rollout.held'));
    expect(sent.map(({ wave }) => wave)).toEqual([1, 1, 1, 2, 2]);
    expect(sent[2]?.summary).toBe(`rollout 1 of vision:1 over all: held, ${approval}`);
    expect(new Set(sent.map(({ id }) => id)).size).toBe(5);
    const heard = streamed.flatMap(({ type, data }) => {
      const { kind, text } = data as { kind?: string; text?: string };
      return kind === 'held' ? [`${type} ${String(text)}`] : [];
    });
    expect(heard).toEqual(texts.map((text) => `rollout.changed ${text}`));
  });
});
