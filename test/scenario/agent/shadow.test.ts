import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningAgent } from '#agent/main.js';
import { type DesiredModule, desiredShadowSchema } from '#shared/protocol/desired.js';
import type { ShadowMetrics, ShadowReport } from '#shared/protocol/shadow.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';
import { buildModule, type BuiltModule, enrolledFolder, removeFolder, run } from '#test/support/agent/agent-harness.js';
import { FakeCloud, until } from '#test/support/agent/fake-cloud.js';
import { childrenOf } from '#test/support/child-processes.js';
import { SteadyLoad } from '#test/support/steady-load.js';

const digits = resolve(dirname(fileURLToPath(import.meta.url)), '../../../modules/digits');

/** One device that is asked all the time, and gets and loses shadows; told in order. */
describe('a device that is asked all the time', () => {
  let cloud: FakeCloud;
  let folder: string;
  let agent: RunningAgent;
  let load: SteadyLoad;
  let first: BuiltModule;
  let second: BuiltModule;
  let adder: BuiltModule;
  let breaker: BuiltModule;
  let generation = 0;

  beforeAll(async () => {
    cloud = await FakeCloud.start();
    folder = await enrolledFolder(cloud);
    const layout = join(folder, 'layout');
    cloud.layouts.push(layout);
    const { publisher } = cloud;
    first = await buildModule({ moduleFolder: digits, layout, publisher });
    const models = { digits: join(digits, 'model-v2.onnx') };
    const goldenFile = join(digits, 'golden-v2.json');
    second = await buildModule({ moduleFolder: digits, layout, publisher, version: 2, models, goldenFile });
    adder = await buildModule({ moduleFolder: await scripted(join(folder, 'adder'), ''), layout, publisher });
    const odd = 'if (input.values.length % 2 === 1) throw new Error("odd");';
    const moduleFolder = await scripted(join(folder, 'breaker'), odd);
    breaker = await buildModule({ moduleFolder, layout, publisher, version: 2 });
    agent = await run(folder);
    deploy({ digits: first.module });
    await until('converged', () => cloud.state.converged && cloud.state.generation === generation, 40_000);
    const body = await readFile(join(digits, 'fixtures/digit.json'));
    load = new SteadyLoad(`http://127.0.0.1:${String(agent.scoring.port)}/score/digits`, body, 1);
  });
  afterAll(async () => {
    await load.stop();
    await agent.stop();
    await cloud.close();
    await removeFolder(folder);
  });

  const deploy = (modules: Record<string, DesiredModule>): void => {
    generation += 1;
    cloud.publishDesired(cloud.desiredOf(generation, modules));
  };
  const beside = (built: BuiltModule, shadow: BuiltModule, rule: object = {}): DesiredModule => ({
    ...built.module,
    shadow: desiredShadowSchema.parse({ image: shadow.image, ...rule }),
  });
  const shadow = (module = 'digits'): ShadowReport | undefined =>
    cloud.state.generation === generation ? cloud.state.modules[module]?.shadow : undefined;
  const counted = (name: string, module = 'digits'): number => shadow(module)?.numbers?.[name] ?? 0;
  const measured = (module = 'digits'): ShadowMetrics[] =>
    cloud.stored.telemetry.flatMap((batch) => {
      const { modules } = batch as unknown as { modules: Record<string, ModuleMetrics> };
      return modules[module]?.shadow ?? [];
    });

  it('compares a shadow that answers otherwise, says by how much, and answers by none of it', async () => {
    deploy({ digits: beside(first, second) });
    await until('compared', () => counted('compared') >= 20, 40_000);
    expect(shadow()).toMatchObject({ digest: second.image.digest, version: 2, state: 'running', provider: 'cpu' });
    expect(counted('agreed')).toBe(0);
    expect(counted('goldenVectors')).toBeGreaterThan(0);
    expect(cloud.state).toMatchObject({ converged: true, modules: { digits: { active: { version: 1 } } } });
    await until('telemetry', () => measured().some(({ compared }) => compared > 0));
    const [one] = measured().filter(({ compared }) => compared > 0);
    expect(one).toMatchObject({ digest: second.image.digest, version: 2, agreed: 0, shadowErrors: 0 });
    expect(one?.largestDifference).toBeGreaterThan(0);
    expect(one?.shadowLatencyMs.count).toBe(one?.liveLatencyMs.count);
    expect(load.failed).toEqual([]);
  });

  it('goes by another rule without starting the shadow anew', async () => {
    const hosts = await childrenOf(process.pid, 'scoring/host/main');
    deploy({ digits: beside(first, second, { compare: { kind: 'top-1' } }) });
    await until('agreed', () => counted('agreed') >= 20, 40_000);
    expect(await childrenOf(process.pid, 'scoring/host/main')).toEqual(hosts);
  });

  it('loses no request to a shadow that ends, and starts it again', async () => {
    process.kill(Math.max(...(await childrenOf(process.pid, 'scoring/host/main'))), 'SIGSEGV');
    await until('told', () => cloud.stored.events.some((batch) => JSON.stringify(batch).includes('shadow.crashed')));
    const before = counted('compared');
    await until('compared again', () => counted('compared') > before && shadow()?.state === 'running', 40_000);
    expect(cloud.state.modules['digits']?.active).toMatchObject({ state: 'running', version: 1 });
    expect(load.failed).toEqual([]);
  });

  it('takes over what shadowed without fetching a byte or failing a request', async () => {
    const served = cloud.bytesServed;
    deploy({ digits: second.module });
    await until('switched', () => cloud.state.converged && cloud.state.generation === generation, 40_000);
    expect(cloud.state.modules['digits']).toMatchObject({ active: { version: 2 }, previous: { version: 1 } });
    expect(cloud.state.modules['digits']?.shadow).toBeUndefined();
    expect(cloud.bytesServed).toBe(served);
    expect(load.failed).toEqual([]);
    await until('one host', async () => (await childrenOf(process.pid, 'scoring/host/main')).length === 1);
    await load.stop();
  });

  it('refuses a rule that names what the version that answers does not have', async () => {
    deploy({ digits: beside(second, first, { compare: { kind: 'top-1', output: 'colour' } }) });
    await until('refused', () => shadow()?.state === 'rejected', 40_000);
    expect(shadow()?.reason?.message).toContain('has no output "colour"');
  });

  it('shadows user code in a process of its own, and has it back after a restart of the agent', async () => {
    deploy({ adder: beside(adder, breaker) });
    await until('runs', () => shadow('adder')?.state === 'running', 40_000);
    await agent.stop();
    agent = await run(folder);
    await until('runs again', () => cloud.reports.at(-1)?.state !== undefined && isRunningAnew(), 40_000);
    for (const values of [[1, 2], [1], [3, 4], [5]]) expect(await add(values)).toEqual({ sum: sumOf(values) });
    await until('all counted', () => counted('compared', 'adder') + counted('shadowErrors', 'adder') >= 4);
    expect(shadow('adder')?.numbers).toMatchObject({ compared: 2, agreed: 2, shadowErrors: 2, liveErrors: 0 });
  });

  const isRunningAnew = (): boolean => {
    const boot = cloud.reports.at(-1)?.bootId ?? 0;
    const latest = cloud.reports.filter(({ bootId }) => bootId === boot);
    return boot > 1 && latest.some(({ state }) => state.modules?.['adder']?.shadow?.state === 'running');
  };
  const add = async (values: readonly number[]): Promise<unknown> => {
    const url = `http://127.0.0.1:${String(agent.scoring.port)}/score/adder`;
    const headers = { 'content-type': 'application/json' };
    return (await fetch(url, { method: 'POST', headers, body: JSON.stringify({ values }) })).json();
  };
});

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** @param line what its script does first */
async function scripted(folder: string, line: string): Promise<string> {
  await mkdir(folder);
  await copyFile(join(digits, 'model.onnx'), join(folder, 'model.onnx'));
  const source = `export async function run(input) { ${line} return { sum: input.values.reduce((a, b) => a + b, 0) }; }\n`;
  await writeFile(join(folder, 'score.js'), source);
  const models = [{ name: 'digits', file: 'model.onnx' }];
  const manifest = { schema: 1, name: 'adder', flavor: 'node', entry: 'score.js', models };
  await writeFile(join(folder, 'module.yaml'), JSON.stringify(manifest));
  return folder;
}
