import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FleetCloud } from '#test/support/fleet-cloud.js';
import { eventually } from '#test/support/fleet-world.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
let world: FleetCloud;
let detector1 = '';

beforeAll(async () => {
  world = await FleetCloud.start(folder('data'));
  detector1 = await world.addImage('detector', 1);
  await world.addImage('detector', 2);
  await world.addImage('tracker', 3);
  await world.addDevice('cam-1', { tags: { site: 'north' } });
});
afterAll(() => world.stop());

const create = ['release', 'create', 'vision', '--module'];
const file = async (text: string): Promise<string> => {
  const path = folder('release.yaml');
  await writeFile(path, text);
  return path;
};

describe('flotilla release', () => {
  it('makes versions whose modules are at exact digests, and shows and lists them', async () => {
    const made = await world.json<object>(...create, 'detector:1', '--module', 'eye=tracker:3', '--set', 'eye.gain=2');
    expect(made).toMatchObject({
      name: 'vision',
      version: 1,
      modules: {
        detector: { image: { name: 'detector', version: 1, digest: detector1 }, settings: {} },
        eye: { image: { name: 'tracker', version: 3 }, settings: { gain: 2 } },
      },
    });
    expect(await world.json(...create, 'detector:2')).toMatchObject({ version: 2 });
    const { stdout } = await world.run('release', 'list');
    expect(stdout).toMatch(/vision:2 .*detector:2\s*\nvision:1 .*detector:1 eye=tracker:3/);
    expect((await world.run('release', 'show', 'vision:1')).stdout).toMatch(
      /eye +tracker:3 +sha256:[0-9a-f]{12} +- +\{"gain":2\}/,
    );
  });

  it('says field by field in what two differ', async () => {
    expect(await world.json('release', 'diff', 'vision:1', 'vision:2')).toEqual([
      expect.objectContaining({ module: 'detector', field: 'image' }),
      { module: 'eye', field: 'module', from: 'tracker:3', to: null },
    ]);
    expect((await world.run('release', 'diff', 'vision:2', 'vision:2')).stdout).toContain('they are the same');
  });

  it.each([
    [[...create, 'detector:9'], 4, 'module detector: there is no image detector:9'],
    [[...create, 'detector:1', '--set', 'eye.gain=2'], 2, 'begin with one of the modules detector'],
    [[...create, 'a=detector:1', '--module', 'a=tracker:3'], 2, 'module a is given twice'],
    [['release', 'show', 'vision:7'], 4, 'there are versions 1, 2'],
    [['release', 'show', 'vision'], 2, 'write for example vision:1'],
  ])('%j is refused', async (args, exit, message) => {
    const answer = await world.run(...args);
    expect(answer).toMatchObject({ exit, stdout: '' });
    expect(answer.stderr).toContain(message);
  });

  it('keeps its images, is kept by its devices, and gives no version twice', async () => {
    const held = await world.run('image', 'delete', 'tracker:3');
    expect(held.stderr).toContain('tracker:3 is in the releases vision:1');
    await world.run('deploy', '--release', 'vision:2', '--device', 'cam-1', '--no-wait');
    expect(await world.run('release', 'delete', 'vision:2')).toMatchObject({ exit: 5 });
    await world.run('undeploy', 'detector', '--device', 'cam-1', '--no-wait');
    expect(await world.json('release', 'delete', 'vision:2')).toEqual({ deleted: 'vision:2' });
    expect(await world.json(...create, 'detector:2')).toMatchObject({ version: 3 });
  });

  it('cannot be changed, even in the database', async () => {
    const change = world.db.updateTable('releases').set({ description: 'other' }).execute();
    await expect(change).rejects.toThrow('releases are immutable');
    const swap = world.db.updateTable('releaseModules').set({ imageDigest: detector1 }).execute();
    await expect(swap).rejects.toThrow('releases are immutable');
  });
});

describe('flotilla apply', () => {
  const yaml = (extra = '', image = 'detector:2'): string =>
    `kind: release\nname: line\nmodules:\n  detector:\n    image: ${image}\n${extra}  tracker:\n    image: tracker:3\n`;
  const requires = (range: string): string => `    requires: {tracker: "${range}"}\n`;

  it('makes a version from a file, and none where the newest is the same', async () => {
    const path = await file(yaml(requires('>=3 <5')));
    expect((await world.run('apply', '-f', path)).stdout).toBe('line:1 is made\n');
    expect((await world.run('apply', '-f', path)).stdout).toBe('line:1 is the same already\n');
    expect((await world.run('apply', '-f', await file(yaml(requires('>=2'))))).stdout).toBe('line:2 is made\n');
    expect(await world.json('release', 'diff', 'line:1', 'line:2')).toEqual([
      { module: 'detector', field: 'requires.tracker', from: '>=3 <5', to: '>=2' },
    ]);
  });

  it('keeps the start order and the routes of its modules, and what differs in them', async () => {
    const terms = '    startAfter: [tracker]\n    routes: { alarms: { from: { output: o }, to: { topic: a/b } } }\n';
    await world.run('apply', '-f', await file(yaml(terms).replace('name: line', 'name: ordered')));
    const shown = await world.json<{ modules: object }>('release', 'show', 'ordered:1');
    const alarms = { from: { output: 'o' }, to: { topic: 'a/b' } };
    expect(shown.modules).toMatchObject({ detector: { startAfter: ['tracker'], routes: { alarms } }, tracker: {} });
    await world.run('apply', '-f', await file(yaml().replace('name: line', 'name: ordered')));
    expect(await world.json('release', 'diff', 'ordered:1', 'ordered:2')).toEqual([
      { module: 'detector', field: 'routes.alarms', from: alarms, to: null },
      { module: 'detector', field: 'startAfter', from: 'tracker', to: null },
    ]);
  });

  it.each([
    [requires('>=4'), 'module detector requires tracker >=4, but the release has tracker:3'],
    ['    requires: {trackr: "3"}\n', 'which is not in the release: did you mean tracker?'],
    [requires('^3'), 'is no range of versions; write for example ">=4"'],
    ['    startAfter: [trackr]\n', 'detector starts after trackr, which is not in the release: did you mean tracker?'],
    ['    startAfter: [detector]\n', 'the start order is a circle: detector starts after detector'],
    ['    variants: {}\n', 'which may stand for variants: flotilla image index makes one; leave it out'],
    ['    imagee: x\n', 'there is no field modules.detector.imagee; did you mean modules.detector.image?'],
    ['    settings: *a\n', 'is not YAML that is taken here'],
  ])('refuses %j', async (extra, message) => {
    const answer = await world.run('apply', '-f', await file(yaml(extra)));
    expect(answer).toMatchObject({ exit: 2, stdout: '' });
    expect(answer.stderr).toContain(message);
  });
});

describe('flotilla deploy --release', () => {
  it('says beforehand what would change, then makes the device have the release and nothing else', async () => {
    const to = ['--device', 'cam-1'];
    await world.run('deploy', 'tracker:3', '--as', 'old', ...to, '--no-wait');
    const generation = async (): Promise<number> =>
      (await world.json<{ desired: { generation: number } }>('device', 'show', 'cam-1')).desired.generation;
    const before = await generation();
    const planned = await world.json<{ changes: object[] }>('deploy', '--release', 'line:2', ...to, '--dry-run');
    expect(planned.changes).toEqual([
      { module: 'detector', change: 'added', to: 'detector:2' },
      { module: 'old', change: 'removed', from: 'tracker:3' },
      { module: 'tracker', change: 'added', to: 'tracker:3' },
    ]);
    expect(await generation()).toBe(before);
    const deployed = await world.json('deploy', '--release', 'line:2', ...to, '--no-wait');
    expect(deployed).toMatchObject({ generation: before + 1, changes: planned.changes, done: false });
    expect(await world.json('device', 'show', 'cam-1')).toMatchObject({ desired: { release: 'line:2' } });
    expect(await world.json('device', 'list', '--where', 'release = "line:2"', '--count')).toMatchObject({ count: 1 });

    await world.run('deploy', 'detector:1', ...to, '--no-wait');
    expect(await world.json('device', 'list', '--where', 'release', '--count')).toMatchObject({ count: 0 });
  });

  it('waits until the device runs every module of it and has ended the others', async () => {
    await world.addDevice('cam-2', { online: true });
    await world.run('deploy', 'tracker:3', '--as', 'old', '--device', 'cam-2', '--no-wait');
    const active = (version: number, digest: string) => ({ active: { digest, version, state: 'running' as const } });
    const old = active(3, await world.digestOf('tracker', 3));
    await world.report('cam-2', { generation: 1, converged: true, modules: { old } });
    const waiting = world.run('deploy', '--release', 'line:2', '--device', 'cam-2', '--output', 'json');
    await eventually('generation 2', async () => {
      const { desired } = await world.json<{ desired: { generation: number } }>('device', 'show', 'cam-2');
      return desired.generation === 2;
    });
    const detector = active(2, await world.digestOf('detector', 2));
    const tracker = active(3, await world.digestOf('tracker', 3));
    await world.report('cam-2', { generation: 2, converged: true, modules: { detector, tracker } });
    const { exit, stdout, stderr } = await waiting;
    expect(exit, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ device: 'cam-2', release: 'line:2', generation: 2, done: true });
    expect(stderr).toContain('old removed');
  });

  it.each([
    [['detector:1', '--release', 'line:2'], 'images or --release, not both'],
    [['--release', 'line:2', '--atomic'], '--atomic does not go with --release'],
    [['--release', 'line:2', '--defer-at-most', '1h'], '--defer-at-most does not go with --release'],
    [['detector:1', '--dry-run'], '--dry-run goes with --release'],
    [[], 'name an image, or give --release'],
  ])('%j is refused', async (args, message) => {
    const answer = await world.run('deploy', ...args, '--device', 'cam-1');
    expect(answer).toMatchObject({ exit: 2, stdout: '' });
    expect(answer.stderr).toContain(message);
  });

  it('is for contributors, as releases are to make; readers see them', async () => {
    const { token } = await world.json<{ token: string }>('token', 'create', '--name', 'eye', '--role', 'reader');
    expect(await world.runAs(token, 'deploy', '--release', 'line:2', '--device', 'cam-1')).toMatchObject({ exit: 3 });
    expect(await world.runAs(token, ...create, 'detector:1')).toMatchObject({ exit: 3 });
    expect((await world.runAs(token, 'release', 'list')).stdout).toContain('line:2');
  });
});
