import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AuditLog } from '#cloud/audit/audit-log.js';
import { scheduledCommand } from '#cloud/commands/scheduled-command.js';
import { punctuality } from '#cloud/http/routes/schedule-routes.js';
import { scheduleWhen } from '#cloud/http/schemas/schedules.js';
import type { Schedule, ScheduleKind } from '#cloud/schedule/schedule.js';
import { ScheduleRepository } from '#cloud/schedule/schedule-repository.js';
import { judgeDue } from '#cloud/schedule/schedule-time.js';
import { Scheduler } from '#cloud/schedule/scheduler.js';
import { silent } from '#test/support/fleet-world.js';
import { CommandFleet } from './command-fleet.js';

const minuteMs = 60_000;
let fleet: CommandFleet;
let schedules: ScheduleRepository;
beforeEach(async () => {
  fleet = await CommandFleet.open();
  schedules = new ScheduleRepository(fleet.world.control);
  await fleet.addDevice('d01');
  fleet.begin();
});
afterEach(() => fleet.close());

/** As after a start: nothing is known but what the database has. */
const scheduler = (kinds = [scheduledCommand(fleet.office)]): Scheduler => {
  const { control: db, clock } = fleet.world;
  return new Scheduler({ schedules, kinds, audit: new AuditLog(db, clock, randomUUID), clock, logger: silent });
};
const look = async (one = scheduler()): Promise<void> => {
  one.wake();
  await one.idle();
  await one.stop();
};
const begun = async (): Promise<number> => (await fleet.commands.list('w', { limit: 100 })).items.length;
const action = { operation: 'ping', where: 'name ~ "d*"', deadlineSeconds: 60 };
const add = (when: object, name = 'nightly'): Promise<unknown> =>
  scheduler().add('w', { name, kind: 'command', ...punctuality(scheduleWhen.parse(when)), action }, 'ops');
const addressOf = (name: string) => ({ workspace: 'w', kind: 'command', name }) as const;
const stored = (name = 'nightly'): Promise<Schedule> => schedules.require(addressOf(name));
const inMinutes = (minutes: number): string => new Date(fleet.world.clock.nowMs + minutes * minuteMs).toISOString();

describe('a schedule', () => {
  it('begins its command once when its time has come, under the name of who made it', async () => {
    await add({ at: inMinutes(10) });
    await look();
    expect(await begun()).toBe(0);
    fleet.world.clock.nowMs += 11 * minuteMs;
    await look();
    await look();
    expect(await fleet.commands.list('w', { limit: 9 })).toMatchObject({
      items: [{ schedule: 'nightly', createdBy: 'ops' }],
    });
    const after = await stored();
    expect(after).toMatchObject({ last: { outcome: 'begun', text: 'command 1' } });
    expect(after.nextAt).toBeUndefined();
  });

  it('that was missed by more than five minutes is skipped, or made up for once, as it says', async () => {
    await add({ at: inMinutes(10) }, 'skips');
    await add({ at: inMinutes(10), missed: 'run' }, 'runs');
    fleet.world.clock.nowMs += 60 * minuteMs;
    await look();
    expect(await fleet.commands.list('w', { limit: 9 })).toMatchObject({ items: [{ schedule: 'runs' }] });
    expect((await stored('skips')).last?.outcome).toBe('missed');
  });

  it('that cannot begin says why, leaves nothing half begun, and goes on to its next time', async () => {
    await add({ cron: '* * * * *' });
    await fleet.world.control
      .updateTable('devices')
      .set({ retiredAt: inMinutes(0) })
      .execute();
    fleet.world.clock.nowMs += 2 * minuteMs;
    await look();
    const after = await stored();
    expect(after.last).toMatchObject({
      outcome: 'failed',
      text: expect.stringContaining('no device matches') as string,
    });
    expect(after.nextAt).toBeDefined();
    expect(await begun()).toBe(0);
  });

  it('whose control plane is killed between begin and commit begins once', async () => {
    await add({ at: inMinutes(1) });
    fleet.world.clock.nowMs += 2 * minuteMs;
    const kind = scheduledCommand(fleet.office);
    const killed: ScheduleKind['begin'] = async (...parts) => {
      await kind.begin(...parts);
      throw new Error('killed');
    };
    await look(scheduler([{ ...kind, begin: killed }]));
    expect(await begun()).toBe(0);
    await look();
    expect(await begun()).toBe(1);
  });

  it.each([
    [{ cron: 'every day' }, 'five fields'],
    [{ cron: '0 0 31 2 *' }, 'ever comes'],
    [{ cron: '0 3 * * *', timeZone: 'Mars/Olympus' }, 'no time zone'],
    [{ at: 'tomorrow' }, ''],
  ])('%j is refused', (when, message) => {
    const parsed = scheduleWhen.safeParse(when);
    expect(parsed.success).toBe(false);
    expect(JSON.stringify(parsed.error?.issues)).toContain(message);
  });

  it('of the past is refused, and one name is one schedule', async () => {
    await expect(add({ at: inMinutes(-1) })).rejects.toThrow('that time has passed');
    await add({ at: inMinutes(1) });
    await expect(add({ at: inMinutes(1) })).rejects.toMatchObject({ code: 'schedule.exists' });
    await expect(schedules.remove(addressOf('nihgtly'))).rejects.toThrow('did you mean "nightly"?');
    await schedules.remove(addressOf('nightly'));
    expect((await schedules.list('w', 'command', { limit: 9 })).items).toEqual([]);
  });

  it('at an hour that the clocks skip begins in the hour after it, and the day after at its own', async () => {
    const { clock } = fleet.world;
    clock.nowMs = Date.parse('2027-03-28T00:30:00Z');
    await add({ cron: '30 2 * * *', timeZone: 'Europe/Zurich' });
    // Half past three in summer time, as there is no half past two.
    expect((await stored()).nextAt).toBe(Date.parse('2027-03-28T01:30:00Z'));
    clock.nowMs = Date.parse('2027-03-28T01:30:00Z');
    await look();
    expect(await begun()).toBe(1);
    expect((await stored()).nextAt).toBe(Date.parse('2027-03-29T00:30:00Z'));
    // Made within the hour after the gap.
    clock.nowMs = Date.parse('2027-03-28T01:10:00Z');
    await add({ cron: '30 2 * * *', timeZone: 'Europe/Zurich' }, 'made-then');
    expect((await stored('made-then')).nextAt).toBe(Date.parse('2027-03-28T01:30:00Z'));
  });

  it('comes next after now, however many times were missed', () => {
    const when = scheduleWhen.parse({ cron: '0 3 * * *', timeZone: 'Europe/Zurich' });
    const now = Date.now();
    const due = judgeDue(punctuality(when), now - 86_400_000 * 9, now);
    expect(due.begins).toBe(false);
    expect(
      new Intl.DateTimeFormat('en', { hour: 'numeric', hourCycle: 'h23', timeZone: 'Europe/Zurich' }).format(
        due.nextAt,
      ),
    ).toBe('03');
    expect((due.nextAt ?? 0) - now).toBeLessThanOrEqual(86_400_000 + 3_600_000);
  });
});
