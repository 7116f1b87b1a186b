/**
 * What an agent costs while nothing happens, beside a bare Node process with one MQTT connection; and how long
 * it takes from its start to its first score, without a network, beside a bare load of the same model.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ownPort } from '#test/support/own-port.js';
import { repository, World } from '#test/support/world.js';
import { cpuMsOf, sizeOf } from './process-cost.js';
import { median, printRatios } from './report.js';

const idleSeconds = Number(process.env['FLOTILLA_BENCH_IDLE_SECONDS'] ?? 600);
const rounds = 7;
const module = join(repository, 'modules/digits');
const megabyte = 1e6;

export async function run(): Promise<void> {
  // The agent as it is by default: telemetry every ten seconds.
  const world = await World.create({ agents: { FLOTILLA_AGENT_TELEMETRY_INTERVAL_SECONDS: '10' } });
  try {
    await world.open();
    await world.flotilla('model', 'register', join(module, 'model.onnx'), '--name', 'digits');
    await world.flotilla('image', 'build', module, '--model', 'digits:1');
    for (const device of ['cam-1', 'bare']) await world.enrol(device);
    const port = await ownPort();
    const agent = await world.startAgent('cam-1', port);
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-1');
    await measureIdle(world, agent.pid);
    await agent.stop();
    await world.cloud?.stop();
    await measureStart(world, port);
  } finally {
    await world.close();
  }
}

async function measureIdle(world: World, agent: number): Promise<void> {
  const folder = join(world.folder, 'bare');
  const bare = start('./bare-mqtt-process.js', join(folder, 'identity.json'), join(folder, 'trust.json'));
  try {
    await said(bare, 'connected');
    await pause(5_000);
    const subjects = { agent: [agent], bare: [bare.pid ?? 0] };
    const before = { agent: cpuMsOf(subjects.agent) ?? 0, bare: cpuMsOf(subjects.bare) ?? 0 };
    const sizes = { agent: [] as number[], bare: [] as number[] };
    for (let second = 0; second < idleSeconds; second += 10) {
      await pause(10_000);
      for (const name of ['agent', 'bare'] as const) sizes[name].push(sizeOf(subjects[name])?.pssBytes ?? Number.NaN);
    }
    const cpu = (name: 'agent' | 'bare'): number => ((cpuMsOf(subjects[name]) ?? 0) - before[name]) / idleSeconds;
    console.log(`idle for ${String(idleSeconds)} s; the agent serves one module, whose host is not counted`);
    printRatios([
      {
        what: 'memory of the agent process (Pss, median)',
        ours: median(sizes.agent) / megabyte,
        limit: median(sizes.bare) / megabyte,
        unit: 'MB',
        goal: { kind: 'at most', ratio: 2 },
      },
      { what: 'CPU', ours: cpu('agent'), limit: cpu('bare'), unit: 'ms/s' },
    ]);
  } finally {
    bare.kill('SIGKILL');
  }
}

async function measureStart(world: World, port: number): Promise<void> {
  const body = await readFile(join(module, 'fixtures/digit.json'));
  const times = { agent: [] as number[], bare: [] as number[] };
  for (let round = 0; round <= rounds; round++) {
    const agentMs = await firstScore(world, port, body);
    const begin = performance.now();
    const bare = start('./bare-score-process.js', join(module, 'model.onnx'));
    await said(bare, 'scored');
    const bareMs = performance.now() - begin;
    bare.kill('SIGKILL');
    // The first round fills caches.
    if (round > 0) {
      times.agent.push(agentMs);
      times.bare.push(bareMs);
    }
  }
  console.log(`from the start of the process to the first score; medians of ${String(rounds)} interleaved rounds`);
  printRatios([
    {
      what: 'agent without a network, from its cache, against a bare load of the model',
      ours: median(times.agent),
      limit: median(times.bare),
      unit: 'ms',
      goal: { kind: 'at most', ratio: 2 },
    },
  ]);
}

async function firstScore(world: World, port: number, body: Buffer): Promise<number> {
  const begin = performance.now();
  // As it is installed: in few files.
  const agent = spawn(process.execPath, [join(repository, 'dist/agent-bundle/flotilla-agent.js'), 'run'], {
    env: { PATH: process.env['PATH'], ...world.agentEnvironment('cam-1', port) },
    stdio: 'ignore',
  });
  const url = `http://127.0.0.1:${String(port)}/v2/models/digits/infer`;
  const headers = { 'content-type': 'application/json' };
  for (;;) {
    const answer = await fetch(url, { method: 'POST', headers, body }).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.status === 200) break;
    if (performance.now() - begin > 30_000) throw new Error('no score in 30 s');
    await pause(2);
  }
  const ms = performance.now() - begin;
  agent.kill('SIGTERM');
  await new Promise((resolve) => agent.once('exit', resolve));
  return ms;
}

function start(entry: string, ...args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [fileURLToPath(new URL(entry, import.meta.url)), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

function said(child: ChildProcess, word: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (data: Buffer) => {
      if (data.toString().includes(word)) resolve();
    });
    child.once('exit', (code) => reject(new Error(`it ended with ${String(code)} before it said ${word}`)));
  });
}
