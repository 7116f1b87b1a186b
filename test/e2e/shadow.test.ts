import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DeviceBody } from '#cloud/http/schemas/devices.js';
import type { RolloutBody } from '#cloud/http/schemas/rollouts.js';
import type { TelemetryBody } from '#cloud/http/schemas/telemetry.js';
import { ownPort } from '#test/support/own-port.js';
import { SteadyLoad } from '#test/support/steady-load.js';
import { repository, World } from '../support/world.js';

const digits = join(repository, 'modules/digits');

/** Built control plane and agent, a device that is asked all the time, and a version whose scores are other ones. */
describe('a version beside the one that answers', () => {
  let world: World;
  let load: SteadyLoad;
  beforeAll(async () => {
    world = await World.create({ operatorInProcess: true });
    await world.open();
    await world.enrol('cam-1');
    const port = await ownPort();
    await world.startAgent('cam-1', port);
    const second = join(world.folder, 'digits');
    await cp(digits, second, { recursive: true });
    await cp(join(digits, 'model-v2.onnx'), join(second, 'model.onnx'));
    await cp(join(digits, 'golden-v2.json'), join(second, 'golden.json'));
    for (const folder of [digits, second]) await world.flotilla('image', 'build', folder);
    for (const version of [1, 2])
      await world.flotilla('release', 'create', 'vision', '--module', `digits=digits:${String(version)}`);
    await world.flotilla('fleet', 'create', 'all', '--where', 'name ~ "cam-*"');
    await world.flotilla('deploy', '--release', 'vision:1', '--device', 'cam-1');
    const body = await readFile(join(digits, 'fixtures/digit.json'));
    load = new SteadyLoad(`http://127.0.0.1:${String(port)}/score/digits`, body, 1);
  });
  afterAll(async () => {
    await load.stop();
    await world.close();
  });

  const device = async (): Promise<DeviceBody> => (await world.flotillaJson('device', 'show', 'cam-1')) as DeviceBody;
  const until = async <T>(what: string, look: () => Promise<T | undefined>): Promise<T> => {
    const { cloud } = world;
    if (!cloud) throw new Error('the control plane is not there');
    return cloud.until(what, 60_000, look);
  };
  const rollout = async (compare: object): Promise<RolloutBody> => {
    const shadow = { compare, seconds: 1, minCompared: 30, minAgreement: 80, maxErrorPercent: 20 };
    const policy = join(world.folder, 'policy.yaml');
    await writeFile(policy, JSON.stringify({ waves: [], onFailure: 'stop', shadow }));
    const started = ['--release', 'vision:2', '--fleet', 'all', '--policy', policy];
    const { number } = (await world.flotillaJson('rollout', 'start', ...started)) as RolloutBody;
    return until('over', async () => {
      const body = (await world.flotillaJson('rollout', 'show', String(number))) as RolloutBody;
      return body.endedAt === undefined ? undefined : body;
    });
  };

  it('is begun and ended by hand, and shown with its numbers', async () => {
    const flags = ['--device', 'cam-1', '--shadow', '--compare', 'top-1:probabilities'];
    expect(await world.flotillaJson('deploy', 'digits:2', ...flags)).toMatchObject({ shadow: true, done: true });
    const shadow = await until('compared', async () => {
      const { shadows = [] } = ((await world.flotillaJson('telemetry', 'cam-1')) as TelemetryBody).modules[0] ?? {};
      return shadows.find(({ compared }) => compared > 0);
    });
    expect(shadow).toMatchObject({ version: 2, agreed: shadow.compared, shadowErrors: 0 });
    // The report comes when it comes, telemetry before or after it.
    const row = /digits:2 +100 % +running +\d+/;
    await until('shown', async () => row.exec(await world.flotilla('device', 'show', 'cam-1')) ?? undefined);
    expect(await device()).toMatchObject({ desired: { release: 'vision:1' }, reported: { converged: true } });
    await world.flotilla('undeploy', 'digits', '--device', 'cam-1', '--shadow');
    await until('gone', async () => ((await device()).reported.modules['digits']?.shadow ? undefined : true));
  });

  it('that disagrees ends a rollout before any device has switched, with the numbers', async () => {
    const { state, reason } = await rollout({ kind: 'tolerance' });
    expect(state).toBe('failed');
    expect(reason?.text).toMatch(/disagreement of digits is 100%, more than 20%, of \d+.*; no device has switched/);
    await until('gone', async () => ((await device()).reported.modules['digits']?.shadow ? undefined : true));
    expect(await device()).toMatchObject({
      ...{ desired: { release: 'vision:1' }, reported: { modules: { digits: { active: { version: 1 } } } } },
    });
  });

  it('that agrees goes on to answer, and no request has failed', async () => {
    expect(await rollout({ kind: 'top-1', output: 'probabilities' })).toMatchObject({ state: 'succeeded' });
    expect((await device()).reported.modules['digits']).toMatchObject({ active: { version: 2, state: 'running' } });
    const { failed, versions } = await load.stop();
    expect(failed).toBe(0);
    expect(Object.keys(versions)).toEqual(['1', '2']);
  });
});
