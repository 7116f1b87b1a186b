import { sql, type Kysely } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ScheduleRepository } from '#cloud/schedule/schedule-repository.js';
import { nextTime } from '#cloud/schedule/schedule-time.js';
import { type ControlStore, controlMigrations, openControlDatabase } from '#cloud/store/control-database.js';
import { openSqlite } from '#cloud/store/sqlite.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
const at = '2026-01-01T00:00:00.000Z';
const due = Date.parse('2026-02-01T03:00:00.000Z');
const order = { release: 'vision', fleet: 'all', policy: { waves: [] }, supersede: false, ignoreFreeze: false };
let db: ControlStore;

/** Schedules of commands and of rollouts, each in its table, as they stood before there was one. */
async function fill(before: Kysely<never>): Promise<void> {
  await sql`insert into workspaces (name, createdAt) values ('w', ${at})`.execute(before);
  const command = async (name: string, when: object, nextAt: number | null, last: object | null): Promise<void> => {
    const json = [JSON.stringify(when), JSON.stringify({ operation: 'ping' }), last && JSON.stringify(last)] as const;
    await sql`insert into schedules values ('w', ${name}, 'command', ${json[0]}, ${json[1]}, ${nextAt},
      ${last && due}, ${json[2]}, ${at}, 'ops')`.execute(before);
  };
  const nightly = { cron: '0 3 13 January Friday', timeZone: 'Europe/Zurich', missed: 'run' };
  await command('nightly', nightly, due, { outcome: 'begun', text: 'command 4' });
  await command('1', { at, missed: 'skip' }, null, null);
  const rollout = async (
    number: number,
    cron: string | null,
    nextAt: number | null,
    last: unknown[],
  ): Promise<void> => {
    const [state, lastAt, lastRollout, lastText] = last;
    const timeZone = cron === null ? null : 'Europe/Berlin';
    await sql`insert into rolloutSchedules values ('w', ${number}, ${JSON.stringify(order)}, ${cron}, ${timeZone},
      ${nextAt}, 3600, ${state}, ${lastAt}, ${lastRollout}, ${lastText}, ${at}, 'me')`.execute(before);
  };
  await rollout(1, '0 3 * * 1', due, ['waiting', due - 1, 7, 'rollout 7 of vision:2']);
  await rollout(2, null, null, ['over', due, null, 'missed: it was to start at once']);
  await rollout(3, null, null, ['cancelled', null, null, '']);
}

beforeAll(async () => {
  const path = folder('control.db');
  const older = controlMigrations.filter(({ name }) => name < '0019');
  const before = await openSqlite<never>(path, { synchronous: 'NORMAL', migrations: older });
  await fill(before);
  await before.destroy();
  db = await openControlDatabase(path);
});
afterAll(() => db.destroy());

it('schedules of two tables are in one: none is lost, and each comes when it would have', async () => {
  const schedules = new ScheduleRepository(db);
  const commands = await schedules.list('w', 'command', { limit: 9 });
  expect(commands.items).toMatchObject([
    { name: '1', when: { at }, lateSeconds: 300, action: { operation: 'ping' }, createdBy: 'ops' },
    { name: 'nightly', nextAt: due, lastAt: due, last: { outcome: 'begun', text: 'command 4' } },
  ]);
  // However late; and both days are meant, as they were: a thirteenth of January that is a Friday.
  expect(commands.items[1]).not.toHaveProperty('lateSeconds');
  expect(nextTime(commands.items[1]?.when ?? { at }, due)).toBe(Date.parse('2034-01-13T02:00:00Z'));

  const rollouts = await schedules.listByTurn('w', 'rollout', { limit: 9 });
  expect(rollouts.items).toMatchObject([
    { name: '1', nextAt: due, last: { outcome: 'begun', text: 'rollout 7 of vision:2', number: 7 }, action: order },
    { name: '3', cancelled: true },
    { name: '2', cancelled: false, lateSeconds: 3600, last: { outcome: 'missed', text: 'it was to start at once' } },
  ]);
  expect(rollouts.items[0]?.when).toEqual({ cron: '0 3 * * 1', timeZone: 'Europe/Berlin' });
  expect(await schedules.due(due)).toHaveLength(2);
  expect(await schedules.nextNumber('w', 'rollout')).toBe(4);
});
