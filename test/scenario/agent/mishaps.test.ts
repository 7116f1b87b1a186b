import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningAgent } from '#agent/main.js';
import { stateFolder } from '#agent/store/state-folder.js';
import { hexOf } from '#shared/package/digest.js';
import { buildModule, type BuiltModule, enrolledFolder, removeFolder, run } from '#test/support/agent/agent-harness.js';
import { FakeCloud, until } from '#test/support/agent/fake-cloud.js';

const digits = resolve(dirname(fileURLToPath(import.meta.url)), '../../../modules/digits');

const script = `
let prefix;
export function init(settings) { prefix = settings.prefix ?? 'none'; }
export function run(input) { if (input.crash) process.exit(3); return { prefix, sum: input.values.reduce((a, b) => a + b, 0) }; }
`;

/** One device's bad days, told in order. */
describe('a device with a model and a script', () => {
  let cloud: FakeCloud;
  let folder: string;
  let agent: RunningAgent;
  let model: BuiltModule;
  let scripted: BuiltModule;
  let input: string;

  beforeAll(async () => {
    cloud = await FakeCloud.start();
    folder = await enrolledFolder(cloud);
    const layout = join(folder, 'layout');
    cloud.layouts.push(layout);
    model = await buildModule({ moduleFolder: digits, layout, publisher: cloud.publisher });
    const source = join(folder, 'adder');
    await mkdir(source);
    await copyFile(join(digits, 'model.onnx'), join(source, 'model.onnx'));
    await writeFile(join(source, 'score.js'), script);
    const manifest = {
      schema: 1,
      name: 'adder',
      flavor: 'node',
      entry: 'score.js',
      models: [{ name: 'digits', file: 'model.onnx' }],
    };
    await writeFile(join(source, 'module.yaml'), JSON.stringify(manifest));
    scripted = await buildModule({ moduleFolder: source, layout, publisher: cloud.publisher });
    input = await readFile(join(digits, 'fixtures/digit.json'), 'utf8');
    agent = await run(folder);
    cloud.publishDesired(cloud.desiredOf(1, { digits: model.module, adder: scripted.module }));
    await until('converged', () => cloud.state.converged && cloud.state.generation === 1, 40_000);
  });
  afterAll(async () => {
    await agent.stop();
    await cloud.close();
    await removeFolder(folder);
  });

  const post = (path: string, body: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${String(agent.scoring.port)}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', connection: 'close' },
      body,
    });
  const scores = async (): Promise<boolean> =>
    (await post('/v2/models/digits/infer', input).catch(() => undefined))?.status === 200;
  const adds = async (): Promise<unknown> => (await post('/score/adder', '{"values":[1,2,3]}')).json();
  const processes = (): Record<string, { state: string }> => {
    const { observed } = agent.device.face.explain() as {
      observed: { serving: { host: { state: string }; scripts: Record<string, { state: string }> } };
    };
    return { host: observed.serving.host, ...observed.serving.scripts };
  };

  it('serves both', async () => {
    expect(await scores()).toBe(true);
    expect(await adds()).toEqual({ prefix: 'none', sum: 6 });
  });

  it('restarts a script that ended, reports it, and goes on scoring the model meanwhile', async () => {
    await post('/score/adder', '{"crash":true}').catch(() => undefined);
    await until('down', () => processes()['adder']?.state !== 'running');
    expect(await scores()).toBe(true);
    await until('running', () => processes()['adder']?.state === 'running');
    expect(await adds()).toEqual({ prefix: 'none', sum: 6 });
    await until('said', () => JSON.stringify(cloud.stored.events).includes('module.crashed'));
  });

  it('keeps a script host that did not change over a switch, and takes new settings into a new one', async () => {
    const changed = { ...scripted.module, settings: { prefix: 'new' } };
    cloud.publishDesired(cloud.desiredOf(2, { digits: model.module, adder: changed }));
    await until('converged', () => cloud.state.converged && cloud.state.generation === 2, 40_000);
    expect(await adds()).toEqual({ prefix: 'new', sum: 6 });
    cloud.publishDesired(cloud.desiredOf(3, { adder: changed }));
    await until('converged', () => cloud.state.converged && cloud.state.generation === 3, 40_000);
    expect(await adds()).toEqual({ prefix: 'new', sum: 6 });
    expect((await post('/v2/models/digits/infer', input)).status).toBe(404);
    cloud.publishDesired(cloud.desiredOf(4, { digits: model.module, adder: changed }));
    await until('converged', () => cloud.state.converged && cloud.state.generation === 4, 40_000);
  });

  it('restarts by command', async () => {
    cloud.command('restart-1', { operation: 'restart', arguments: { module: 'digits' } });
    await until('answered', () =>
      cloud.responses.some(({ id, outcome }) => id === 'restart-1' && outcome.kind === 'done'),
    );
    await until('settled', () => cloud.state.converged, 40_000);
    expect(await scores()).toBe(true);
  });

  it('refuses a second agent on its folder', async () => {
    await expect(run(folder)).rejects.toMatchObject({ code: 'already.running' });
    expect(await scores()).toBe(true);
  });

  it.each([
    ['committed', ['committed']],
    ['desired', ['desired']],
    ['rejections', ['rejections']],
    ['boot', ['boot']],
    ['every document', ['committed', 'desired', 'rejections', 'boot']],
  ] as const)('comes back to work when %s is damaged beyond repair', async (_what, names) => {
    await agent.stop();
    const paths = stateFolder(folder);
    for (const name of names) {
      for (const path of [paths[name], `${paths[name]}.previous`]) await writeFile(path, 'x');
    }
    const before = cloud.reports.at(-1)?.bootId ?? 0;
    agent = await run(folder);
    await until('asked', () => cloud.presences.at(-1)?.online === true);
    // What the broker keeps for the device is what the control plane would answer.
    await until(
      'back',
      async () => cloud.state.converged && (cloud.reports.at(-1)?.bootId ?? 0) > before && (await scores()),
      40_000,
    );
    expect(await adds()).toEqual({ prefix: 'new', sum: 6 });
  });

  it('finds a model that was damaged on disk when it starts, and fetches it again', async () => {
    await agent.stop();
    const manifest = JSON.parse(await readFile(join(stateFolder(folder).blobs, hexOf(model.image.digest)), 'utf8')) as {
      layers: { digest: string; mediaType: string }[];
    };
    const weight = manifest.layers.find(({ mediaType }) => mediaType.includes('weight.v1.raw'));
    const path = join(stateFolder(folder).blobs, hexOf(weight?.digest ?? ''));
    const bytes = await readFile(path);
    bytes[bytes.length - 10] = (bytes[bytes.length - 10] ?? 0) ^ 0xff;
    await chmod(path, 0o644);
    await writeFile(path, bytes);
    const served = cloud.bytesServed;
    const before = cloud.reports.at(-1)?.bootId ?? 0;
    agent = await run(folder);
    await until(
      'back',
      async () => cloud.state.converged && (cloud.reports.at(-1)?.bootId ?? 0) > before && (await scores()),
      40_000,
    );
    expect(cloud.bytesServed).toBeGreaterThan(served);
    await until('said', () => JSON.stringify(cloud.stored.events).includes('module.damaged'));
  });
});
