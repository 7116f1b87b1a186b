import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DeviceBody } from '#cloud/http/schemas/devices.js';
import type { RolloutBody } from '#cloud/http/schemas/rollouts.js';
import { ownPort } from '#test/support/own-port.js';
import { repository, World } from '../support/world.js';

const digits = join(repository, 'modules/digits');

/** Built control plane and agent, on a machine that has nothing of what the first variant asks. */
describe('a release with an index of variants', () => {
  let world: World;
  let port: number;
  beforeAll(async () => {
    world = await World.create({ operatorInProcess: true });
    await world.open();
    await world.enrol('cam-1');
    port = await ownPort();
    const agent = world.startAgent('cam-1', port);
    const gpu = join(world.folder, 'gpu');
    await cp(digits, gpu, { recursive: true });
    const yaml = await readFile(join(digits, 'module.yaml'), 'utf8');
    const named = yaml.replace(/^name: .*/m, 'name: digits-gpu').replace(/^accelerators:.*\n/m, '');
    await writeFile(join(gpu, 'module.yaml'), `${named}\naccelerators: [dml]\n`);
    for (const folder of [gpu, digits]) await world.flotilla('image', 'build', folder);
    const variants = ['--variant', 'gpu/fp16=digits-gpu:1', '--variant', 'cpu/fp32=digits:1'];
    await world.flotilla('image', 'index', 'eye', ...variants);
    await world.flotilla('release', 'create', 'eyes', '--module', 'eye=eye:1');
    await world.flotilla('fleet', 'create', 'all', '--where', 'name = "cam-1"');
    await agent;
  });
  afterAll(() => world.close());

  const device = async (): Promise<DeviceBody> => (await world.flotillaJson('device', 'show', 'cam-1')) as DeviceBody;
  const until = async <T>(what: string, look: () => Promise<T | undefined>): Promise<T> => {
    const { cloud } = world;
    if (!cloud) throw new Error('the control plane is not there');
    return cloud.until(what, 60_000, look);
  };

  it('has a device fetch beforehand the one that it would run, run it when its turn comes, and answer with it', async () => {
    const policy = join(world.folder, 'policy.yaml');
    // Its window is never open while this runs.
    const window = {
      cron: `0 ${String((new Date().getUTCHours() + 12) % 24)} * * *`,
      durationSeconds: 60,
      timeZone: 'UTC',
    };
    await writeFile(policy, JSON.stringify({ windows: [window] }));
    const of = ['--release', 'eyes:1', '--fleet', 'all'];
    await world.flotilla('rollout', 'start', ...of, '--policy', policy);
    const index = ((await world.flotillaJson('image', 'show', 'eye:1')) as { digest: string }).digest;
    await until('held', async () => ((await device()).reported.prefetched?.includes(index) ? true : undefined));
    expect((await device()).reported.modules).toEqual({});

    const { number } = (await world.flotillaJson('rollout', 'start', ...of, '--supersede')) as RolloutBody;
    const over = await until('over', async () => {
      const body = (await world.flotillaJson('rollout', 'show', String(number))) as RolloutBody;
      return body.endedAt === undefined ? undefined : body;
    });
    expect(over.state).toBe('succeeded');
    const { eye } = (await device()).reported.modules;
    expect(eye).toMatchObject({ active: { digest: index, version: 1 } });
    expect(eye?.variant).toMatchObject({ accelerator: 'cpu', precision: 'fp32' });
    expect(eye?.variant?.because).toBe('cpu/fp32 runs on cpu; gpu/fp16 needs dml');

    const golden = JSON.parse(await readFile(join(digits, 'golden.json'), 'utf8')) as {
      name: string;
      request: object;
    }[];
    const three = golden.find(({ name }) => name === 'three')?.request;
    const url = `http://127.0.0.1:${String(port)}/v2/models/eye/infer`;
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(three) });
    const { outputs } = (await answer.json()) as { outputs: { name: string; data: number[] }[] };
    expect(outputs.find(({ name }) => name === 'label')?.data).toEqual([3]);
  });
});
