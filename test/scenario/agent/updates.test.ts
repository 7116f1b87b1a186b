import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningAgent } from '#agent/main.js';
import type { DesiredModule, UpdatePolicy } from '#shared/protocol/desired.js';
import { probationSchema } from '#shared/protocol/desired.js';
import { buildModule, type BuiltModule, enrolledFolder, removeFolder, run } from '#test/support/agent/agent-harness.js';
import { FakeCloud, until } from '#test/support/agent/fake-cloud.js';
import { childrenOf } from '#test/support/child-processes.js';
import { SteadyLoad } from '#test/support/steady-load.js';

const digits = resolve(dirname(fileURLToPath(import.meta.url)), '../../../modules/digits');

/** Each version of the script is one more line of what `run` does first. */
const behaviours = {
  good: '',
  better: 'input.better = true;',
  fails: 'throw new Error("this version is broken");',
  ends: 'setTimeout(() => process.exit(3), 5); await new Promise(() => undefined);',
  slow: 'await new Promise((resolve) => setTimeout(resolve, 500));',
  busy: 'if (input.busyMs !== undefined) context.defer(input.busyMs, "a door is open");',
} as const;
type Behaviour = keyof typeof behaviours;

// What a busy machine does to latency and memory decides only where that is what is asked.
const noise = { maxP99Ratio: 1000, maxMemoryRatio: 1000 };
const usual = probationSchema.parse({ windowSeconds: 1, minRequests: 20, maxSeconds: 20, ...noise });
/** For modules that nobody asks: what nothing speaks against after its window stays. */
const quiet = { ...usual, maxSeconds: 0 };
const update: UpdatePolicy = {
  probation: usual,
  keepVersions: 2,
  maxDeferSeconds: 600,
};

/** One device whose modules are replaced again and again, told in order. */
describe('a device that is asked all the time', () => {
  let cloud: FakeCloud;
  let folder: string;
  let agent: RunningAgent;
  let load: SteadyLoad;
  let generation = 0;
  const models: BuiltModule[] = [];
  const scripts = {} as Record<Behaviour, BuiltModule>;

  beforeAll(async () => {
    cloud = await FakeCloud.start();
    folder = await enrolledFolder(cloud);
    const layout = join(folder, 'layout');
    cloud.layouts.push(layout);
    const { publisher } = cloud;
    models.push(await buildModule({ moduleFolder: digits, layout, publisher }));
    const second = { digits: join(digits, 'model-v2.onnx') };
    const goldenFile = join(digits, 'golden-v2.json');
    models.push(await buildModule({ moduleFolder: digits, layout, publisher, version: 2, models: second, goldenFile }));
    models.push(await buildModule({ moduleFolder: digits, layout, publisher, version: 3, models: second }));
    for (const [index, [name, line]] of Object.entries(behaviours).entries()) {
      const moduleFolder = await scriptFolder(join(folder, name), line);
      scripts[name as Behaviour] = await buildModule({ moduleFolder, layout, publisher, version: index + 1 });
    }
    agent = await run(folder);
    deploy({ adder: scripts.good, digits: models[0] });
    await until('converged', () => cloud.state.converged && cloud.state.generation === generation, 40_000);
    load = new SteadyLoad(url('/score/adder'), Buffer.from('{"values":[1,2]}'), 4);
  });
  afterAll(async () => {
    await load.stop();
    await agent.stop();
    await cloud.close();
    await removeFolder(folder);
  });

  const url = (path: string): string => `http://127.0.0.1:${String(agent.scoring.port)}${path}`;
  const deploy = (modules: Record<string, BuiltModule | undefined>, how: Partial<UpdatePolicy> = {}): void => {
    generation += 1;
    const wanted: [string, DesiredModule][] = Object.entries(modules).flatMap(([name, built]) =>
      built === undefined ? [] : [[name, { ...built.module, update: { ...update, ...how } }]],
    );
    cloud.publishDesired(cloud.desiredOf(generation, Object.fromEntries(wanted)));
  };
  const adder = () => cloud.state.modules['adder'];
  const converged = (): Promise<void> =>
    until('converged', () => cloud.state.converged && cloud.state.generation === generation, 40_000);
  const rejected = (): Promise<void> =>
    until('rejected', () => cloud.state.generation === generation && adder()?.candidate?.state === 'rejected', 40_000);
  const statesOf = (name: string): string[] =>
    cloud.reports.flatMap(({ state }) => {
      const { active, candidate } = state.modules?.[name] ?? {};
      return active === undefined || candidate === undefined ? [] : [`${active.state}/${candidate.state}`];
    });
  const score = async (input: unknown): Promise<{ version: string | null; body: unknown }> => {
    const response = await fetch(url('/score/adder'), {
      method: 'POST',
      headers: { 'content-type': 'application/json', connection: 'close' },
      body: JSON.stringify(input),
    });
    return { version: response.headers.get('flotilla-version'), body: await response.json() };
  };

  it('keeps a version that does well on probation, with the one before standing by, and fails no request', async () => {
    deploy({ adder: scripts.better, digits: models[0] });
    await converged();
    expect(statesOf('adder')).toContain('standby/probation');
    expect(adder()).toMatchObject({ active: { version: 2, state: 'running' }, previous: { version: 1 } });
    expect(load.failed).toEqual([]);
  });

  it('goes back from a version that fails its requests, says by what numbers, and does not try it again', async () => {
    deploy({ adder: scripts.fails, digits: models[0] });
    await rejected();
    expect(adder()?.candidate).toMatchObject({ version: 3, reason: { code: 'probation.failed' } });
    const { requests = 0, errors = 0 } = adder()?.candidate?.numbers ?? {};
    expect(requests).toBeGreaterThanOrEqual(20);
    expect(errors).toBe(requests);
    expect(adder()?.active).toMatchObject({ version: 2, state: 'running' });
    expect((await score({ values: [1, 2] })).body).toEqual({ sum: 3 });
    // What failed was answered by the version that fails: nothing was cut off on the way there and back.
    expect(load.failed.filter((failure) => failure !== 'status 500')).toEqual([]);
    const before = cloud.reports.at(-1)?.bootId ?? 0;
    await load.stop();
    await agent.stop();
    agent = await run(folder);
    await until(
      'told anew',
      () => (cloud.reports.at(-1)?.bootId ?? 0) > before && adder()?.active?.state === 'running',
    );
    expect(adder()?.candidate).toMatchObject({ version: 3, state: 'rejected', numbers: { requests, errors } });
    load = new SteadyLoad(url('/score/adder'), Buffer.from('{"values":[1,2]}'), 4);
  });

  it('goes back from a version whose process ends, without waiting for its window', async () => {
    deploy({ adder: scripts.ends, digits: models[0] });
    await rejected();
    expect(adder()?.candidate?.reason?.message).toMatch(/its script ended while it was on probation/);
    expect((await score({ values: [1, 2] })).version).toBe('2');
    expect(cloud.state.modules['digits']?.active?.state).toBe('running');
  });

  it('goes back from a version that is slower than the one before by more than it may be', async () => {
    deploy({ adder: scripts.slow, digits: models[0] }, { probation: { ...usual, maxP99Ratio: 2 } });
    await rejected();
    expect(adder()?.candidate?.reason?.message).toMatch(/99 of 100 requests took up to .* with the version before/);
  });

  it('goes back when the host of all ends, and gives a model another try in another generation', async () => {
    deploy({ adder: scripts.better, digits: models[1] }, { probation: { ...usual, windowSeconds: 600 } });
    await until('on probation', () => cloud.state.modules['digits']?.candidate?.state === 'probation', 40_000);
    process.kill(Math.max(...(await childrenOf(process.pid, 'scoring/host/main'))), 'SIGSEGV');
    await until('rejected', () => cloud.state.modules['digits']?.candidate?.state === 'rejected');
    expect(cloud.state.modules['digits']?.active).toMatchObject({ version: 1, state: 'running' });
    deploy({ adder: scripts.better, digits: models[1] }, { probation: quiet });
    await converged();
    expect(cloud.state.modules['digits']?.active).toMatchObject({ version: 2 });
  });

  it('lets none of a group take over when one of it is refused, and all of it together', async () => {
    // Version 3 of the model is proved by the vectors of another one.
    deploy({ adder: scripts.good, digits: models[2] }, { atomic: 'pair' });
    await rejected();
    expect(adder()?.candidate?.reason?.code).toBe('module.group-rejected');
    expect(cloud.state.modules['digits']?.candidate?.reason?.code).toBe('golden.mismatch');
    expect((await score({ values: [1, 2] })).version).toBe('2');
    deploy({ adder: scripts.busy, digits: models[0] }, { atomic: 'pair', probation: quiet });
    await converged();
    expect((await score({ values: [1, 2] })).version).toBe('6');
  });

  it('waits while the module says that it is busy, and says so', async () => {
    await score({ values: [1], busyMs: 60_000 });
    deploy({ adder: scripts.better, digits: models[0] });
    await until('busy', () => adder()?.busy !== undefined, 40_000);
    expect(adder()).toMatchObject({ busy: { reason: 'a door is open' }, active: { version: 6, state: 'running' } });
    const { waiting } = agent.device.face.explain() as { waiting: { kind: string; deadlineAt?: string }[] };
    expect(waiting.find(({ kind }) => kind === 'busy')?.deadlineAt).toBeDefined();
    await score({ values: [1], busyMs: 0 });
    await converged();
    expect((await score({ values: [1, 2] })).version).toBe('2');
  });

  it('goes back to a version it has kept by a desired document, though no block can be fetched', async () => {
    cloud.serveBlocks = false;
    deploy({ adder: scripts.busy, digits: models[0] });
    await converged();
    expect((await score({ values: [1, 2] })).version).toBe('6');
    cloud.serveBlocks = true;
  });

  it('goes back by a word on the spot without any network, over restarts, until the next generation', async () => {
    await cloud.close();
    expect(await agent.device.face.rollback('adder')).toEqual({ module: 'adder', version: 2, generation });
    await until('back', async () => (await score({ values: [1, 2] })).version === '2', 40_000);
    await load.stop();
    await agent.stop();
    agent = await run(folder);
    await until('back', async () => (await score({ values: [1, 2] }).catch(() => undefined))?.version === '2', 40_000);
    await cloud.listen();
    await until('said', () => adder()?.candidate?.reason?.code === 'module.held', 40_000);
    expect(cloud.state.converged).toBe(false);
    deploy({ adder: scripts.busy, digits: models[0] }, { probation: quiet });
    await converged();
    load = new SteadyLoad(url('/score/adder'), Buffer.from('{"values":[1,2]}'), 1);
  });
});

async function scriptFolder(folder: string, line: string): Promise<string> {
  await mkdir(folder);
  await copyFile(join(digits, 'model.onnx'), join(folder, 'model.onnx'));
  const source = `export async function run(input, context) { ${line} return { sum: input.values.reduce((a, b) => a + b, 0) }; }\n`;
  await writeFile(join(folder, 'score.js'), source);
  const manifest = {
    schema: 1,
    name: 'adder',
    flavor: 'node',
    entry: 'score.js',
    models: [{ name: 'digits', file: 'model.onnx' }],
  };
  await writeFile(join(folder, 'module.yaml'), JSON.stringify(manifest));
  return folder;
}
