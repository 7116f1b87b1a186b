import { execFile } from 'node:child_process';
import { copyFile, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Daemon } from '#cloud/quickstart/program.js';
import { type DesiredModule, probationSchema, type UpdatePolicy } from '#shared/protocol/desired.js';
import { buildModule, type BuiltModule, enrolledFolder, removeFolder } from '#test/support/agent/agent-harness.js';
import { FakeCloud, until } from '#test/support/agent/fake-cloud.js';
import { crashEnvironment } from '#test/support/crash/crash-order.js';
import { ownPort } from '#test/support/own-port.js';
import { repository } from '#test/support/repository.js';

const digits = join(repository, 'modules/digits');
const watched = (windowSeconds: number): UpdatePolicy => ({
  probation: probationSchema.parse({ windowSeconds, minRequests: 1 }),
  keepVersions: 2,
  maxDeferSeconds: 600,
});

/** The built agent as a process of its own, told in order by a control plane in this one. */
describe('a built agent, while versions are tried on it', () => {
  let cloud: FakeCloud;
  let folder: string;
  let layout: string;
  let agent: Daemon;
  let port: number;
  let generation = 0;
  const scripts: BuiltModule[] = [];

  const start = (): void => {
    const order = {
      program: 'agent/cli/main.js',
      commands: ['run'],
      root: folder,
      except: ['logs', 'run', 'capture'],
      sql: false,
      seen: join(folder, 'run.seen'),
      readOnlyWhile: join(folder, 'run.read-only'),
    };
    agent = new Daemon({
      build: join(repository, 'dist'),
      name: 'flotilla-agent',
      args: ['run'],
      env: {
        HOME: folder,
        FLOTILLA_AGENT_STATE_DIR: folder,
        FLOTILLA_AGENT_SCORING_PORT: String(port),
        FLOTILLA_AGENT_TELEMETRY_INTERVAL_SECONDS: '0.5',
        FLOTILLA_AGENT_LINK_MAX_RECONNECT_SECONDS: '0.5',
        ...crashEnvironment(order),
      },
    });
  };
  const deploy = (built: BuiltModule | undefined, update: UpdatePolicy): void => {
    generation += 1;
    const modules: Record<string, DesiredModule> = built === undefined ? {} : { adder: { ...built.module, update } };
    cloud.publishDesired(cloud.desiredOf(generation, modules));
  };
  const adder = () => cloud.state.modules['adder'];
  const candidate = () => (cloud.state.generation === generation ? adder()?.candidate : undefined);
  const converged = (): Promise<void> =>
    until('converged', () => cloud.state.converged && cloud.state.generation === generation, 40_000);
  const ask = async (input: object = { values: [1, 2] }): Promise<string | null> => {
    const response = await fetch(`http://127.0.0.1:${String(port)}/score/adder`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', connection: 'close' },
      body: JSON.stringify(input),
    });
    expect(response.status).toBe(200);
    return response.headers.get('flotilla-version');
  };

  beforeAll(async () => {
    cloud = await FakeCloud.start();
    folder = await enrolledFolder(cloud);
    port = await ownPort();
    layout = join(folder, 'layout');
    cloud.layouts.push(layout);
    for (const [index, line] of ['', 'input.better = true;', 'for (;;);'].entries()) {
      const source = await adderFolder(join(folder, `adder-${String(index)}`), line);
      scripts.push(await buildModule({ moduleFolder: source, layout, publisher: cloud.publisher, version: index + 1 }));
    }
    start();
    deploy(scripts[0], watched(0));
    await converged();
  });
  afterAll(async () => {
    await agent.stop();
    await cloud.close();
    await removeFolder(folder);
  });

  it('killed in the middle of a probation: the version before answers, and the new one is watched anew and kept', async () => {
    deploy(scripts[1], watched(3));
    await until('on probation', () => candidate()?.state === 'probation', 40_000);
    expect(await ask()).toBe('2');
    agent.kill('SIGKILL');
    await agent.exited;
    const before = cloud.reports.length;
    start();
    await until(
      'on probation again',
      () => JSON.stringify(cloud.reports.slice(before)).includes('"state":"probation"'),
      40_000,
    );
    expect(adder()?.active).toMatchObject({ version: 1, state: 'standby' });
    await converged();
    expect(adder()?.active).toMatchObject({ version: 2, state: 'running' });
    expect(await ask()).toBe('2');
  });

  it('goes back from a version that hangs on probation, and says that it hung', async () => {
    deploy(scripts[2], watched(600));
    await until('on probation', () => candidate()?.state === 'probation', 40_000);
    const hung = fetch(`http://127.0.0.1:${String(port)}/score/adder`, { method: 'POST', body: '{"values":[1]}' });
    await until('rejected', () => candidate()?.state === 'rejected', 40_000);
    expect(candidate()).toMatchObject({ version: 3, reason: { code: 'probation.failed' } });
    expect(candidate()?.reason?.message).toMatch(/its script ended while it was on probation.*(hung|silent|break)/);
    await hung.catch(() => undefined);
    // A connection that the hung version had accepted by then may still get its failure.
    await until('back', async () => (await ask().catch(() => undefined)) === '2');
  });

  it.each([
    ['too slow', 'maxLatencyMs: 0.001', 'golden.too-slow', 'maxLatencyMs'],
    ['too large', 'maxMemoryMegabytes: 1', 'golden.too-large', 'maxMemoryMegabytes'],
  ])('does not let a version answer that is %s here, and says what was measured', async (_what, bound, code, name) => {
    const source = join(folder, name);
    await cp(digits, source, { recursive: true });
    const manifest = await readFile(join(digits, 'module.yaml'), 'utf8');
    await writeFile(join(source, 'module.yaml'), manifest.replace('file: golden.json', `$&\n  ${bound}`));
    const built = await buildModule({ moduleFolder: source, layout, publisher: cloud.publisher, version: 4 });
    deploy(built, watched(0));
    await until('failed', () => candidate()?.state === 'failed', 40_000);
    expect(candidate()).toMatchObject({ reason: { code, details: { [name]: expect.any(Number) as number } } });
    expect(await ask()).toBe('2');
  });

  it('goes on scoring on a disk that has become read-only, says so, and does what was asked once it is not', async () => {
    const lock = join(folder, 'run.read-only');
    await writeFile(lock, '');
    const mount = await coverReadOnly(folder);
    deploy(scripts[0], watched(0));
    await until('told', () => JSON.stringify(cloud.state.refused ?? null).includes('disk'), 40_000);
    for (let count = 0; count < 5; count++) expect(await ask()).toBe('2');
    await mount.end();
    await rm(lock);
    // It asks again by itself within half a minute, or when it is told again.
    cloud.publishDesired(cloud.desiredOf(generation, { adder: { ...requireModule(scripts[0]), update: watched(0) } }));
    await converged();
    expect(await ask()).toBe('1');
  });
});

/**
 * The kernel refuses every name that is to change from here on, by whomever: also what passes by the preload, which
 * refuses what is written to files that are open. Does nothing where this process may not mount.
 */
async function coverReadOnly(folder: string): Promise<{ end(): Promise<unknown> }> {
  const run = promisify(execFile);
  const mounted = await run('mount', ['--bind', folder, folder]).then(
    () => run('mount', ['-o', 'remount,ro,bind', folder]).then(() => true),
    () => false,
  );
  // Lazily: the device may be reading through it at this moment, and what it reads is the same.
  return { end: () => (mounted ? run('umount', ['--lazy', folder]) : Promise.resolve()) };
}

function requireModule(built: BuiltModule | undefined): DesiredModule {
  if (built === undefined) throw new Error('it was not built');
  return built.module;
}

async function adderFolder(folder: string, line: string): Promise<string> {
  await mkdir(folder);
  await copyFile(join(digits, 'model.onnx'), join(folder, 'model.onnx'));
  const source = `export function run(input) { ${line} return { sum: input.values.reduce((a, b) => a + b, 0) }; }\n`;
  await writeFile(join(folder, 'score.js'), source);
  const manifest = {
    schema: 1,
    name: 'adder',
    flavor: 'node',
    entry: 'score.js',
    models: [{ name: 'digits', file: 'model.onnx' }],
    script: { maxBusyMs: 1000 },
  };
  await writeFile(join(folder, 'module.yaml'), JSON.stringify(manifest));
  return folder;
}
