import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FleetCloud } from '#test/support/fleet-cloud.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
const digest = `sha256:${'a'.repeat(64)}`;
let world: FleetCloud;

beforeAll(async () => {
  world = await FleetCloud.start(folder('data'));
  const digits = (version: number) => ({ digits: { active: { digest, version, state: 'running' as const } } });
  await world.addDevice('cam-1', {
    tags: { site: 'north', line: '3' },
    online: true,
    reported: { modules: digits(2) },
  });
  await world.addDevice('cam-2', { tags: { site: 'north', line: '4' }, reported: { modules: digits(3) } });
  await world.addDevice('cam-3', { tags: { site: 'south', line: '3' }, online: true });
  await world.addDevice('cam-9', { tags: { site: 'north', line: '3' }, retired: true });
});
afterAll(() => world.stop());

const names = async (...args: string[]): Promise<string[]> =>
  (await world.json<{ name: string }[]>(...args)).map(({ name }) => name);

describe('flotilla device list --where', () => {
  it.each([
    ['site = "north"', ['cam-1', 'cam-2']],
    ['site = "north" and line in (3, 4) and not online', ['cam-2']],
    ['modules.digits.version < 3 or not modules.digits', ['cam-1', 'cam-3']],
    ['name ~ "cam-*" and line = 3', ['cam-1', 'cam-3']],
    ['site != "north"', ['cam-3']],
  ])('%s finds the devices in service that match', async (where, expected) => {
    expect(await names('device', 'list', '--where', where)).toEqual(expected);
  });

  it('follows a tag at once', async () => {
    await world.run('device', 'tag', 'cam-3', 'spare=yes');
    expect(await names('device', 'list', '--where', 'spare')).toEqual(['cam-3']);
    await world.run('device', 'tag', 'cam-3', 'spare-');
    expect(await names('device', 'list', '--where', 'spare')).toEqual([]);
  });

  it('gives a piece of the list and says how to go on', async () => {
    const first = await world.run('device', 'list', '--limit', '1', '--where', 'line = 3');
    expect(first.stdout).toContain('cam-1');
    expect(first.stdout).not.toContain('cam-3');
    expect(first.stderr).toContain('more follow: --after cam-1');
    const rest = await world.run('device', 'list', '--limit', '1', '--where', 'line = 3', '--after', 'cam-1');
    expect(rest.stdout).toContain('cam-3');
    expect(rest.stderr).toBe('');
  });

  it('counts, says how it understood the query, and names what no device knows', async () => {
    expect(await world.json('device', 'list', '--where', 'site = "north" and onlin', '--count')).toEqual({
      count: 0,
      online: 0,
      query: 'tags.site = "north" and tags.onlin',
      notes: ['no device has a tag onlin; did you mean online?'],
    });
    const { stdout, stderr } = await world.run('device', 'list', '--where', 'onlin');
    expect(stdout).toContain('no device matches');
    expect(stderr).toContain('did you mean online?');
  });

  it('points at what is wrong', async () => {
    const { exit, stderr } = await world.run(
      'device',
      'list',
      '--where',
      'site = "north" and modules.digits.versio > 2',
    );
    expect(exit).toBe(2);
    expect(stderr).toContain('error query.invalid: the query is wrong at column 20 (modules.digits.versi)');
    expect(stderr).toContain('did you mean modules.digits.version?');
  });
});

describe('flotilla fleet', () => {
  it('saves a query after a dry run, and has the devices that match when somebody asks', async () => {
    const where = ['--where', 'site = "north" and line in (3, 4)'];
    expect(await world.json('fleet', 'create', 'north', ...where, '--dry-run')).toMatchObject({
      count: 2,
      saved: false,
    });
    expect(await world.json('fleet', 'list')).toEqual([]);
    expect(await world.json('fleet', 'create', 'north', ...where, '--description', 'the north')).toMatchObject({
      name: 'north',
      where: 'site = "north" and line in (3, 4)',
      members: { count: 2, online: 1 },
    });
    expect(await names('fleet', 'members', 'north')).toEqual(['cam-1', 'cam-2']);

    await world.run('device', 'tag', 'cam-3', 'site=north');
    expect(await names('fleet', 'members', 'north')).toEqual(['cam-1', 'cam-2', 'cam-3']);
    expect(await names('fleet', 'members', 'north', '--limit', '1', '--after', 'cam-2')).toEqual(['cam-3']);
    expect(await names('fleet', 'list', '--device', 'cam-3')).toEqual(['north']);
    await world.run('device', 'tag', 'cam-3', 'site=south');
    expect(await names('fleet', 'list', '--device', 'cam-3')).toEqual([]);
    expect(await names('fleet', 'list', '--device', 'cam-9')).toEqual([]);
  });

  it('says before a change of its query how many it has and would have', async () => {
    const where = ['--where', 'line = 3'];
    expect(await world.json('fleet', 'update', 'north', ...where, '--dry-run')).toMatchObject({
      count: 2,
      before: { count: 2 },
      saved: false,
    });
    expect(await names('fleet', 'members', 'north')).toEqual(['cam-1', 'cam-2']);
    await world.run('fleet', 'update', 'north', ...where);
    expect(await names('fleet', 'members', 'north')).toEqual(['cam-1', 'cam-3']);
    expect((await world.run('fleet', 'show', 'north')).stdout).toMatch(
      /where +line = 3\n.*the north\nmembers +2 devices/,
    );
  });

  it('refuses a second of its name, a wrong query, an unknown fleet, and a change of nothing', async () => {
    expect(await world.run('fleet', 'create', 'north', '--where', 'online')).toMatchObject({ exit: 5 });
    expect(await world.run('fleet', 'create', 'east', '--where', 'online =')).toMatchObject({ exit: 2 });
    const unknown = await world.run('fleet', 'show', 'nroth');
    expect(unknown).toMatchObject({ exit: 4 });
    expect(unknown.stderr).toContain('did you mean north?');
    expect(await world.run('fleet', 'update', 'north')).toMatchObject({ exit: 2 });
  });

  it('is gone after delete, and its devices are not', async () => {
    expect(await world.json('fleet', 'delete', 'north')).toEqual({ deleted: 'north' });
    expect(await world.json('fleet', 'list')).toEqual([]);
    expect(await names('device', 'list', '--where', 'online')).toEqual(['cam-1', 'cam-3']);
  });

  it('is for contributors to change and readers to see, and what was saved is in the audit log', async () => {
    const { token } = await world.json<{ token: string }>('token', 'create', '--name', 'eye', '--role', 'reader');
    const create = ['fleet', 'create', 'all', '--where', 'name ~ "*"'];
    expect(await world.runAs(token, ...create)).toMatchObject({ exit: 3 });
    expect(await world.run(...create)).toMatchObject({ exit: 0 });
    expect((await world.runAs(token, 'fleet', 'members', 'all')).stdout).toContain('cam-1');
    const entries = await world.json<{ detailsJson: string }[]>('audit', 'list', '--action', 'fleets');
    expect(JSON.parse(entries[0]?.detailsJson ?? '')).toMatchObject({ name: 'all', where: 'name ~ "*"' });
  });
});
