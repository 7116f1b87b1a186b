import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReleaseRepository } from '#cloud/fleet/release-repository.js';
import { FleetRepository } from '#cloud/fleet/fleet-repository.js';
import { FreezeRepository } from '#cloud/rollout/freeze-repository.js';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';
import { type RolloutSchedule, ScheduleRepository } from '#cloud/rollout/schedule-repository.js';
import { RolloutScheduler } from '#cloud/rollout/scheduler.js';
import { openStoredDesired } from '#cloud/fleet/desired-envelope.js';
import { addressOf, silent } from '#test/support/fleet-world.js';
import { RolloutFleet } from './rollout-fleet.js';

const hourMs = 3_600_000;
const allAtOnce = { waves: [], maxUnavailable: '100%' };
const devices = ['d0', 'd1', 'd2'];
let fleet: RolloutFleet;
let schedules: ScheduleRepository;
beforeAll(async () => {
  fleet = await RolloutFleet.open(3);
  schedules = new ScheduleRepository(fleet.world.control);
});
afterAll(() => fleet.close());

const now = (): number => fleet.world.clock.nowMs;
const pass = (ms: number): void => {
  fleet.world.clock.nowMs += ms;
};
const scheduler = (): RolloutScheduler => {
  const { control: db, live, clock } = fleet.world;
  const parts = { releases: new ReleaseRepository(db), fleets: new FleetRepository(db), live, clock, logger: silent };
  return new RolloutScheduler({ db, office: fleet.office, ...parts });
};
const scheduled = (release: string, times: Partial<RolloutSchedule>): Promise<RolloutSchedule> =>
  schedules.create({
    order: {
      release,
      fleet: 'all',
      policy: rolloutPolicySchema.parse(allAtOnce),
      supersede: false,
      ignoreFreeze: false,
    },
    ...{ workspace: 'w', lateSeconds: 3600, createdAt: '2026-01-01T00:00:00.000Z', createdBy: 'somebody' },
    ...times,
  });
const find = async (number: number): Promise<RolloutSchedule | undefined> =>
  (await schedules.list('w', { limit: 10 })).items.find((one) => one.number === number);
const rollouts = async (): Promise<number> => (await fleet.rollouts.list('w', { limit: 100 })).items.length;

describe('a scheduled rollout', () => {
  it('starts when its time has come, once, whoever looks', async () => {
    await scheduled('vision:1', { nextAt: now() + hourMs });
    await scheduler().run();
    expect(await rollouts()).toBe(0);
    pass(hourMs);
    await scheduler().run();
    await scheduler().run();
    expect(await rollouts()).toBe(1);
    expect(await find(1)).toMatchObject({ last: { rollout: 1, text: 'rollout 1 of vision:1' } });
    expect(await find(1)).not.toHaveProperty('nextAt');
    await fleet.turn();
    await fleet.obey(...devices);
    await fleet.turn();
    expect(await fleet.state(1)).toBe('succeeded');
  });

  it('is missed when nobody was there until too late; one that comes again does, with the newest version', async () => {
    const missed = await scheduled('vision:2', { nextAt: now() + hourMs });
    const weekly = await scheduled('vision', { nextAt: now() + 2.5 * hourMs, cron: '0 3 * * 1', timeZone: 'UTC' });
    pass(3 * hourMs);
    await scheduler().run();
    expect((await find(missed.number))?.last?.text).toMatch(/^missed: it was to start at/);
    const after = await find(weekly.number);
    expect(after).toMatchObject({
      nextAt: Date.parse('2026-01-05T03:00:00Z'),
      last: { text: 'rollout 2 of vision:3' },
    });
  });

  it('that cannot start says why, and one that was cancelled does not', async () => {
    const held = await scheduled('vision:2', { nextAt: now() });
    const gone = await scheduled('vision:2', { nextAt: now() });
    await schedules.cancel('w', gone.number);
    await scheduler().run();
    expect((await find(held.number))?.last?.text).toContain('not started: rollout 2 holds d0, d1, d2');
    expect(await find(gone.number)).toMatchObject({ cancelled: true });
    await expect(schedules.cancel('w', gone.number)).rejects.toMatchObject({ code: 'rollout.state' });
    await expect(schedules.cancel('w', 99)).rejects.toMatchObject({ code: 'schedule.not-found' });
  });
});

describe('a freeze of the workspace', () => {
  it('holds the devices that its query finds, until it is over', async () => {
    const freezes = new FreezeRepository(fleet.world.control);
    const order = { name: 'audit', from: now(), until: now() + hourMs, where: 'name = "d1"', reason: '', by: 'me' };
    await freezes.create('w', order, now());
    await expect(freezes.create('w', order, now())).rejects.toMatchObject({ code: 'freeze.exists' });
    await expect(freezes.create('w', { ...order, name: 'past', until: now() }, now())).rejects.toMatchObject({
      code: 'request.invalid',
    });
    await expect(freezes.delete('w', 'audti')).rejects.toThrow('did you mean audit?');
    await fleet.turn();
    expect(await fleet.withStanding('changing', 2)).toEqual(['d0', 'd2']);
    const { plan } = await fleet.controller().look(await fleet.rollouts.require({ workspace: 'w', number: 2 }));
    expect(plan.waiting).toContainEqual({ device: 'd1', kind: 'freeze', until: order.until, detail: 'audit' });
    pass(hourMs);
    await fleet.obey('d0', 'd2');
    await fleet.turn();
    await fleet.obey('d1');
    await fleet.turn();
    expect(await fleet.state(2)).toBe('succeeded');
  });
});

describe('single devices of a rollout that is over', () => {
  it('go back to what they had, and the others stay', async () => {
    const only = (names: readonly string[]) => fleet.office.order(address, { kind: 'rollback', devices: names }, 'me');
    const address = { workspace: 'w', number: 2 };
    await expect(only(['d9'])).rejects.toMatchObject({ code: 'rollout.state' });
    await only(['d1']);
    await fleet.turn();
    expect(await fleet.withStanding('returning', 2)).toEqual(['d1']);
    expect((await fleet.desired('d1')).release).toBe('vision:1');
    await fleet.obey('d1');
    await fleet.turn();
    expect(await fleet.state(2)).toBe('succeeded');
    expect(await fleet.standings(2)).toEqual({ d0: 'succeeded', d1: 'returned', d2: 'succeeded' });
    expect((await fleet.desired('d0')).release).toBe('vision:3');
  });
});

describe('a rollout with windows', () => {
  it('gives them to the devices, and going back takes them away', async () => {
    const windows = [{ cron: '* * * * *', durationSeconds: 60 }];
    await fleet.start('vision:2', { ...allAtOnce, windows });
    await fleet.turn();
    const windowsOf = async (device: string): Promise<unknown> => {
      const stored = await fleet.world.devices.findDesired(addressOf(device));
      return openStoredDesired(stored?.envelope ?? '').modules['detector']?.update?.windows;
    };
    expect(await windowsOf('d0')).toEqual(windows);
    await fleet.office.order({ workspace: 'w', number: 3 }, { kind: 'rollback' }, 'me');
    await fleet.turn();
    expect(await windowsOf('d0')).toBeUndefined();
  });
});
