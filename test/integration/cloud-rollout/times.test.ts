import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { randomUUID } from 'node:crypto';
import { AuditLog } from '#cloud/audit/audit-log.js';
import { cancel } from '#cloud/http/routes/rollout-schedule-routes.js';
import { FreezeRepository } from '#cloud/rollout/freeze-repository.js';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';
import { scheduledRollout } from '#cloud/rollout/scheduled-rollout.js';
import type { Schedule } from '#cloud/schedule/schedule.js';
import { ScheduleRepository } from '#cloud/schedule/schedule-repository.js';
import type { ScheduleTime } from '#cloud/schedule/schedule-time.js';
import { Scheduler } from '#cloud/schedule/scheduler.js';
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
/** As after a start: nothing is known but what the database has. */
const scheduler = (): Scheduler => {
  const { control: db, live, clock } = fleet.world;
  const kinds = [scheduledRollout({ db, office: fleet.office, live })];
  return new Scheduler({ schedules, kinds, audit: new AuditLog(db, clock, randomUUID), clock, logger: silent });
};
const look = async (): Promise<void> => {
  const one = scheduler();
  one.wake();
  await one.idle();
  await one.stop();
};
const scheduled = async (release: string, when: ScheduleTime): Promise<Schedule> => {
  const policy = rolloutPolicySchema.parse(allAtOnce);
  const action = { release, fleet: 'all', policy, supersede: false, ignoreFreeze: false };
  const one = scheduler();
  const made = await one.add('w', { kind: 'rollout', when, lateSeconds: 3600, action }, 'somebody');
  await one.stop();
  return made;
};
const inHours = (hours: number): ScheduleTime => ({ at: new Date(now() + hours * hourMs).toISOString() });
const find = (name: string): Promise<Schedule> => schedules.require({ workspace: 'w', kind: 'rollout', name });
const rollouts = async (): Promise<number> => (await fleet.rollouts.list('w', { limit: 100 })).items.length;

describe('a scheduled rollout', () => {
  it('starts when its time has come, once, whoever looks', async () => {
    await scheduled('vision:1', inHours(1));
    await look();
    expect(await rollouts()).toBe(0);
    pass(hourMs);
    await look();
    await look();
    expect(await rollouts()).toBe(1);
    expect(await find('1')).toMatchObject({ last: { number: 1, text: 'rollout 1 of vision:1' } });
    expect(await find('1')).not.toHaveProperty('nextAt');
    await fleet.turn();
    await fleet.obey(...devices);
    await fleet.turn();
    expect(await fleet.state(1)).toBe('succeeded');
  });

  it('is missed when nobody was there until too late; one that comes again does, with the newest version', async () => {
    const missed = await scheduled('vision:2', inHours(1));
    const weekly = await scheduled('vision', { cron: '30 3 * * 4', timeZone: 'UTC' });
    pass(3 * hourMs);
    await look();
    const text = expect.stringMatching(/^it was to start at/) as string;
    expect((await find(missed.name)).last).toMatchObject({ outcome: 'missed', text });
    const after = await find(weekly.name);
    expect(after).toMatchObject({
      nextAt: Date.parse('2026-01-08T03:30:00Z'),
      last: { text: 'rollout 2 of vision:3' },
    });
  });

  it('that cannot start says why, and one that was cancelled does not', async () => {
    const held = await scheduled('vision:2', inHours(0.1));
    const gone = await scheduled('vision:2', inHours(0.1));
    await cancel(schedules, 'w', gone.name);
    pass(0.1 * hourMs);
    const told = vi.fn();
    fleet.world.live.subscribe('w', told);
    await look();
    const text = expect.stringContaining('not started: rollout 2 holds d0, d1, d2') as string;
    const data = { schedule: Number(held.name), text };
    expect(told).toHaveBeenCalledWith(expect.objectContaining({ type: 'rollout.schedule', data }));
    expect((await find(held.name)).last?.outcome).toBe('failed');
    expect(await find(gone.name)).toMatchObject({ cancelled: true });
    await expect(cancel(schedules, 'w', gone.name)).rejects.toMatchObject({ code: 'rollout.state' });
    await expect(cancel(schedules, 'w', '99')).rejects.toMatchObject({ code: 'schedule.not-found' });
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
