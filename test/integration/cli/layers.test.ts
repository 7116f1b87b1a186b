import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DesiredExplained, LayerOutcomeBody } from '#cloud/http/schemas/layers.js';
import { FleetCloud } from '#test/support/fleet-cloud.js';
import { eventually } from '#test/support/fleet-world.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
let world: FleetCloud;

const wide = Array.from({ length: 26 }, (_, index) => `many-${String(index)}`);

beforeAll(async () => {
  world = await FleetCloud.start(folder('data'));
  for (const version of [1, 2]) {
    await world.addImage('detector', version);
    await world.run(
      'release',
      'create',
      'vision',
      '--module',
      `detector:${String(version)}`,
      '--set',
      'detector.gain=1',
    );
  }
  await world.addImage('alarm', 1);
  for (const name of ['cam-1', 'cam-2']) await world.addDevice(name, { online: true, tags: { site: 'north' } });
  for (const name of wide) await world.addDevice(name, { online: true, tags: { wide: 'yes' } });
  for (const device of ['cam-1', 'cam-2']) await deploy('vision:1', device);
});
afterAll(() => world.stop());

interface Shown {
  readonly desired: {
    readonly generation: number;
    readonly release?: string;
    readonly modules: Record<string, { readonly version: number; readonly settings: object }>;
  };
}
const desired = async (device: string): Promise<Shown['desired']> =>
  (await world.json<Shown>('device', 'show', device)).desired;
const settings = async (device: string): Promise<object | undefined> =>
  (await desired(device)).modules['detector']?.settings;
const explained = (device: string): Promise<DesiredExplained> => world.json('device', 'desired', device);
const deploy = (release: string, device: string): Promise<unknown> =>
  world.json('deploy', '--release', release, '--device', device, '--no-wait');
const layer = (...args: string[]): Promise<LayerOutcomeBody> => world.json('layer', ...args);
const apply = async (text: string, ...flags: string[]): ReturnType<FleetCloud['run']> => {
  const path = folder('layers.yaml');
  await writeFile(path, text);
  return world.run('apply', '-f', path, ...flags);
};

describe('flotilla layer', () => {
  it('says beforehand how many devices change and what on one, and changes nothing by it', async () => {
    const create = ['create', 'north', '--where', 'site = "north"', '--priority', '10', '--set', 'detector.gain=2'];
    expect(await layer(...create, '--dry-run')).toMatchObject({
      ...{ saved: false, devices: 2 },
      example: { device: 'cam-1', changes: [{ module: 'detector', field: 'settings.gain', from: 1, to: 2 }] },
    });
    expect(await world.json('layer', 'list')).toEqual([]);
    expect(await desired('cam-1')).toMatchObject({ generation: 1, modules: { detector: { settings: { gain: 1 } } } });
  });

  it('goes over the release of its devices at once, the higher over the lower, and the release stays', async () => {
    await layer('create', 'north', '--where', 'site = "north"', '--priority', '10', '--set', 'detector.gain=2');
    const two = ['--set', 'detector.gain=3', '--module', 'alarm:1'];
    expect(await layer('create', 'one', '--where', 'name = "cam-1"', '--priority', '20', ...two)).toMatchObject({
      devices: 1,
    });
    expect((await world.run('layer', 'list')).stdout).toMatch(/\none:1 +20 .*\nnorth:1 +10 /);
    expect(await desired('cam-1')).toMatchObject({ generation: 3, release: 'vision:1' });
    expect(await settings('cam-1')).toEqual({ gain: 3 });
    expect(await settings('cam-2')).toEqual({ gain: 2 });
    expect(Object.keys((await desired('cam-1')).modules)).toEqual(['alarm', 'detector']);
    const { stdout } = await world.run('device', 'desired', 'cam-1', '--explain');
    expect(stdout).toMatch(/alarm +image +alarm:1 +one +-/);
    expect(stdout).toMatch(/detector +image +detector:1 +vision:1 +-/);
    expect(stdout).toMatch(/detector +settings.gain +3 +one +north: 2; vision:1: 1/);
    expect(stdout).toMatch(/north +1 +1 +in force/);
  });

  it('stays over another release, and over what is deployed by hand', async () => {
    const planned = await world.json<{ changes: object[] }>(
      'deploy',
      '--release',
      'vision:2',
      '--device',
      'cam-1',
      '--dry-run',
    );
    expect(planned.changes).toMatchObject([
      { module: 'alarm', change: 'kept' },
      { module: 'detector', change: 'changed', to: 'detector:2' },
    ]);
    await deploy('vision:2', 'cam-1');
    expect(await settings('cam-1')).toEqual({ gain: 3 });
    await world.run('deploy', 'detector:1', '--device', 'cam-1', '--no-wait', '--set', 'gain=9', '--set', 'own=1');
    const { fields } = (await explained('cam-1')).modules['detector'] ?? { fields: [] };
    expect(fields).toContainEqual(
      expect.objectContaining({
        field: 'settings.gain',
        value: 3,
        covered: [{ layer: 'north', value: 2 }, { value: 9 }],
      }),
    );
    expect(await settings('cam-1')).toEqual({ gain: 3, own: 1 });
    const refused = await world.run('undeploy', 'alarm', '--device', 'cam-1', '--no-wait');
    expect(refused).toMatchObject({ exit: 5 });
    expect(refused.stderr).toContain('layer one puts module alarm there');
  });

  it('comes and goes with tags, and what it covered is back', async () => {
    await world.run('device', 'tag', 'cam-2', 'site-');
    expect(await settings('cam-2')).toEqual({ gain: 1 });
    await world.run('device', 'tag', 'cam-2', 'site=north');
    expect(await settings('cam-2')).toEqual({ gain: 2 });
    const before = (await desired('cam-2')).generation;
    await world.run('device', 'tag', 'cam-2', 'other=x');
    expect((await desired('cam-2')).generation).toBe(before);
  });

  it('can be changed and deleted, and is gone whole', async () => {
    await layer('update', 'north', '--set', 'detector.gain=5');
    expect(await settings('cam-2')).toEqual({ gain: 5 });
    expect(await layer('delete', 'one', '--dry-run')).toMatchObject({ saved: false, devices: 1 });
    expect(await layer('delete', 'one')).toMatchObject({ devices: 1 });
    expect(Object.keys((await desired('cam-1')).modules)).toEqual(['detector']);
    expect(await settings('cam-1')).toEqual({ gain: 5, own: 1 });
    await layer('delete', 'north');
    expect(await settings('cam-1')).toEqual({ gain: 9, own: 1 });
    expect(await settings('cam-2')).toEqual({ gain: 1 });
    expect(await world.db.selectFrom('deviceBases').selectAll().execute()).toEqual([]);
  });

  const one = ['create', 'other', '--priority', '10'];
  it.each([
    [[...one, '--where', 'modules.detector', '--set', 'a.b=1'], 2, 'by their name, tags and capabilities'],
    [[...one, '--where', 'online', '--set', 'a.b=1'], 2, 'online changes with what they run'],
    [[...one, '--where', 'site', '--module', 'detector:9'], 4, 'module detector: there is no image detector:9'],
    [[...one, '--where', 'site'], 2, 'the layer says nothing'],
    [['show', 'nothing'], 4, 'there is no layer nothing'],
    [['update', 'nothing', '--priority', '1'], 4, 'there is no layer nothing'],
  ])('%j is refused', async (args, exit, message) => {
    const answer = await world.run('layer', ...args);
    expect(answer).toMatchObject({ exit, stdout: '' });
    expect(answer.stderr).toContain(message);
  });

  it('is refused where another of its priority says the same, or where it is there already', async () => {
    const tail = ['--where', 'never', '--priority', '7', '--set', 'detector.gain=2'];
    await layer('create', 'first', ...tail);
    const second = await world.run('layer', 'create', 'second', ...tail);
    expect(second).toMatchObject({ exit: 5 });
    expect(second.stderr).toContain('layers first and second both say settings.gain of module detector at priority 7');
    expect(await world.run('layer', 'create', 'first', ...tail)).toMatchObject({ exit: 5 });
    await layer('delete', 'first');
  });
});

describe('a layer of a file', () => {
  const yaml =
    'kind: layer\nname: gate\nwhere: site = "north"\npriority: 3\nmodules: { alarm: { image: "alarm:1" } }\n';

  it('is made, and again nothing happens; its image stays as long as it is named', async () => {
    expect((await apply(yaml, '--dry-run')).stdout).toMatch(
      /gate:1 would be saved: 2 devices would change\n\non cam-1\n(.*\n)+alarm +image +- +alarm:1\n/,
    );
    expect((await apply(yaml)).stdout).toBe('gate:1 is saved: 2 devices changed\n');
    expect((await apply(yaml)).stdout).toBe('gate:1 is saved: 0 devices changed\n');
    expect((await world.run('image', 'delete', 'alarm:1')).stderr).toContain('alarm:1 is deployed');
    expect((await apply(yaml.replace('priority', 'priorty'))).stderr).toContain('did you mean priority?');
    await layer('delete', 'gate');
    await layer('create', 'held', '--where', 'site', '--priority', '3', '--module', 'alarm:1', '--staged');
    expect((await world.run('image', 'delete', 'alarm:1')).stderr).toContain('alarm:1 is in the layers held');
    await layer('delete', 'held');
  });
});

describe('a layer of many devices', () => {
  const over = ['create', 'wide', '--where', 'wide', '--priority', '1', '--set', 'detector.gain=7'];
  const obey = async (device: string): Promise<void> => {
    const { generation } = await desired(device);
    await world.report(device, { generation, converged: true, modules: {} });
  };
  const succeeds = (number: number): Promise<void> =>
    eventually(`rollout ${String(number)} succeeds`, async () => {
      return (await world.json<{ state: string }>('rollout', 'show', String(number))).state === 'succeeded';
    });

  it('is not live; staged, its devices take it with the rollout of the release that they have, and a rollback returns', async () => {
    const [some = '', ...others] = wide;
    await deploy('vision:1', some);
    await obey(some);
    const refused = await world.run('layer', ...over);
    expect(refused).toMatchObject({ exit: 5 });
    expect(refused.stderr).toContain('26 devices would change at once, and 25 may: save it with --staged');
    expect(await world.json('layer', 'list')).toEqual([]);

    expect(await layer(...over, '--staged')).toMatchObject({ devices: 26 });
    expect(await settings(some)).toEqual({ gain: 1 });
    await world.run('device', 'tag', some, 'more=1');
    expect(await settings(some)).toEqual({ gain: 1 });
    expect((await explained(some)).layers).toEqual([{ name: 'wide', newest: 1, state: 'waiting' }]);

    await world.run('fleet', 'create', 'some', '--where', `name = "${some}"`);
    expect(others).toHaveLength(25);
    await world.json('rollout', 'start', '--release', 'vision:1', '--fleet', 'some');
    await eventually('it is asked', async () => JSON.stringify(await settings(some)) === '{"gain":7}');
    await obey(some);
    await succeeds(1);
    expect((await explained(some)).layers).toMatchObject([{ name: 'wide', version: 1, state: 'in-force' }]);

    await layer('update', 'wide', '--set', 'detector.gain=8');
    expect(await settings(some)).toEqual({ gain: 7 });
    expect((await explained(some)).layers).toMatchObject([{ version: 1, newest: 2, state: 'outdated' }]);

    await world.json('rollout', 'rollback', '1');
    await eventually('it goes back', async () => JSON.stringify(await settings(some)) === '{"gain":1}');
    expect((await explained(some)).layers).toMatchObject([{ name: 'wide', state: 'waiting' }]);
  });
});
