import { afterEach, beforeEach, expect, it } from 'vitest';
import { HistoryRetention } from '#cloud/store/history-retention.js';
import { RolloutFleet } from './rollout-fleet.js';

const dayMs = 86_400_000;
const limits = { activityDays: 90, commandDays: 30, rolloutDays: 365, rolloutHistoryEntries: 3 };

let rollouts: RolloutFleet;
beforeEach(async () => {
  rollouts = await RolloutFleet.open(2);
});
afterEach(() => rollouts.close());

const retention = (): HistoryRetention => new HistoryRetention(rollouts.world.control, rollouts.world.clock, limits);
const numbers = async (): Promise<number[]> => {
  const { items } = await rollouts.rollouts.list('w', { limit: 100 });
  return items.map(({ number }) => number);
};
const succeed = async (release: string): Promise<void> => {
  await rollouts.start(release, { waves: [], maxUnavailable: '100%' });
  await rollouts.turn();
  await rollouts.obey('d0', 'd1');
  await rollouts.turn();
};

it('a rollout goes when it ended long ago and every device was led on by a later one; its devices can still be led back', async () => {
  await succeed('vision:1');
  await succeed('vision:2');
  rollouts.world.clock.nowMs += 300 * dayMs;
  await succeed('vision:3');
  // A little more than the age of the first two, less than that of the third.
  rollouts.world.clock.nowMs += 100 * dayMs;
  expect(await retention().run()).toMatchObject({ rollouts: 2, rolloutDevices: 4 });
  expect(await numbers()).toEqual([3]);
  // Idle ever after: the newest stays, as its number must not come again, and it is where a rollback starts.
  rollouts.world.clock.nowMs += 1000 * dayMs;
  await retention().run();
  expect(await numbers()).toEqual([3]);
  await rollouts.office.order({ workspace: 'w', number: 3 }, { kind: 'rollback' }, 'ops');
  await rollouts.turn();
  expect(await rollouts.withStanding('returning', 3)).toEqual(['d0', 'd1']);
});

it('a rollout that is the last that some device took part in stays, however old, with the newest of its history', async () => {
  await succeed('vision:1');
  rollouts.world.clock.nowMs += 400 * dayMs;
  await rollouts.start('vision:2', { waves: [{ count: 1 }], maxUnavailable: 1 });
  await retention().run();
  expect(await numbers()).toEqual([2, 1]);
  const { items } = await rollouts.rollouts.history({ workspace: 'w', number: 1 }, { limit: 100 });
  expect(items).toHaveLength(limits.rolloutHistoryEntries);
  expect(items[0]?.text).toContain('over: succeeded');
});

it('activities and commands that ended long ago go in batches, what is under way and the newest number stay', async () => {
  const { control: db, clock } = rollouts.world;
  const old = new Date(clock.nowMs - 100 * dayMs).toISOString();
  for (let from = 0; from < 1200; from += 300) {
    const rows = Array.from({ length: 300 }, (_, index) => ({
      ...{ id: `a${String(from + index)}`, workspace: 'w', kind: 'k', subject: 's', state: 'succeeded' as const },
      ...{ inputJson: '{}', resource: null, problemJson: null, cancelRequested: 0, createdAt: old, startedAt: old },
      endedAt: from + index === 0 ? null : old,
    }));
    await db.insertInto('activities').values(rows).execute();
  }
  await db.insertInto('activityLog').values({ activity: 'a7', at: old, text: 'a line' }).execute();
  const job = (number: number, endedAt: string | null): Promise<unknown> =>
    db
      .insertInto('commandJobs')
      .values({
        ...{ workspace: 'w', number, operation: 'ping', argumentsJson: '{}', fleet: null, query: 'name ~ "d*"' },
        ...{ concurrency: 1, timeoutMs: 1, deadlineAt: 1, nonce: 'n', state: 'done', devices: 1, answerBytes: 0 },
        ...{ schedule: null, createdAt: old, createdBy: 'ops', endedAt },
      })
      .execute();
  await job(1, old);
  await job(2, null);
  await job(3, new Date(clock.nowMs).toISOString());
  await job(4, old);
  const empty = { sentAt: null, timeoutAt: null, endedAt: null, answerJson: null, problemJson: null };
  const row = { workspace: 'w', job: 1, device: 'd0', standing: 'done' as const, ...empty };
  await db.insertInto('commandJobDevices').values(row).execute();

  expect(await retention().run()).toEqual({ activities: 1199, commandJobs: 1, commandJobDevices: 1 });
  const jobs = await db.selectFrom('commandJobs').select('number').orderBy('number').execute();
  expect(jobs.map(({ number }) => number)).toEqual([2, 3, 4]);
  expect(await db.selectFrom('activityLog').selectAll().execute()).toEqual([]);
});
