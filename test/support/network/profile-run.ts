/**
 * One device behind one kind of link: a new version is deployed while the link misbehaves, commands are
 * sent, and a client at the device scores without pause. Afterwards the version must have come, every
 * command must have been answered or refused with a reason, and every request must be in the store once.
 */
import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ownPort } from '#test/support/own-port.js';
import { ProgramFailed } from '#cloud/quickstart/program.js';
import { type ChaosOutcome, seededRandom } from '../chaos/chaos.js';
import { weights, writeOnnx } from '../onnx-writer.js';
import { repository, World } from '../world.js';
import { FaultProxy } from './fault-proxy.js';
import { NetworkNamespace } from './namespace.js';
import type { NetworkProfile } from './profiles.js';

/** A model of 1 MB: 8 s at 1 Mbit. */
const size = 500;
const device = 'cam-1';
const settleSeconds = 120;

export interface ProfileOptions {
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** @returns undefined where the machine lets no network namespace be made that the profile needs */
export async function runProfile(profile: NetworkProfile, options: ProfileOptions): Promise<ChaosOutcome | undefined> {
  const namespace = profile.lossPercent > 0 ? await NetworkNamespace.open(options.seed % 64) : undefined;
  if (profile.lossPercent > 0 && namespace === undefined) return undefined;
  const run = await ProfileRun.open(profile, options, namespace);
  try {
    return await run.go();
  } catch (error) {
    return { failure: `${profile.name}: ${error instanceof Error ? error.message : String(error)}` };
  } finally {
    await run.close();
    await namespace?.close();
  }
}

class ProfileRun {
  private over = false;
  private readonly commands: Record<string, number> = {};

  private constructor(
    private readonly profile: NetworkProfile,
    private readonly options: ProfileOptions,
    private readonly namespace: NetworkNamespace | undefined,
    private readonly world: World,
    private readonly proxy: FaultProxy,
  ) {}

  static async open(
    profile: NetworkProfile,
    options: ProfileOptions,
    namespace: NetworkNamespace | undefined,
  ): Promise<ProfileRun> {
    const brokerPort = await ownPort();
    const gatewayPort = await ownPort();
    const proxy = await FaultProxy.open({
      ...(namespace === undefined ? {} : { host: namespace.outside }),
      target: { host: '127.0.0.1', port: brokerPort },
      random: seededRandom(options.seed),
    });
    const host = namespace?.outside ?? '127.0.0.1';
    const world = await World.create({
      brokerPort,
      gatewayPort,
      cloud: () => ({
        FLOTILLA_GATEWAY_HOST: host,
        FLOTILLA_GATEWAY_ADVERTISE_URL: `https://${host}:${String(gatewayPort)}`,
      }),
      brokerAdvertiseUrl: `mqtts://${host}:${String(proxy.port)}`,
      agents: {
        // The way over the gateway would lead around the link.
        FLOTILLA_AGENT_LINK_TRANSPORT: 'mqtt',
        FLOTILLA_AGENT_LINK_KEEPALIVE_SECONDS: '5',
        FLOTILLA_AGENT_LINK_MAX_RECONNECT_SECONDS: profile.timeScale === 1 ? '10' : '1',
      },
      ...(namespace === undefined ? {} : { agentPrefix: namespace.prefix }),
    });
    return new ProfileRun(profile, options, namespace, world, proxy);
  }

  async close(): Promise<void> {
    this.over = true;
    await this.world.close();
    await this.proxy.close();
  }

  async go(): Promise<ChaosOutcome> {
    const { world, profile, options } = this;
    await world.open();
    for (const seed of [1, 2]) await this.publish(seed);
    await world.enrol(device);
    const port = await ownPort();
    await world.startAgent(device, port);
    await world.flotilla('deploy', 'large:1', '--device', device, '--timeout', '60s');

    const client = await this.startClient(port);
    this.proxy.setQuality(profile.quality);
    await this.namespace?.lose(profile.lossPercent);
    await world.flotilla('deploy', 'large:2', '--device', device, '--no-wait', '--probation', '0');
    const commands = this.sendCommands();
    const driver = this.drive();
    if (!profile.endless) await driver;
    else await Promise.race([driver, pause(this.cyclesMs())]);
    const settled = await world
      .flotilla('deploy', 'large:2', '--device', device, '--timeout', `${String(settleSeconds)}s`, '--probation', '0')
      .then(
        () => undefined,
        (error: unknown) => `the new version did not come: ${String(error).slice(0, 300)}`,
      );
    this.over = true;
    await driver;
    await commands;
    this.proxy.setState('pass');
    const asked = await client();
    options.say(`${profile.name}: asked ${JSON.stringify(asked)}, commands ${JSON.stringify(this.commands)}`);
    return this.judge(settled, asked);
  }

  private async judge(settled: string | undefined, asked: Record<string, number>): Promise<ChaosOutcome> {
    const answered = asked['200'] ?? 0;
    const stored = await this.storedOf(answered);
    const lost = Math.max(0, answered - stored);
    const doubled = Math.max(0, stored - answered);
    const strange = Object.keys(this.commands).filter((outcome) => outcome.startsWith('strange'));
    const failed = Object.entries(asked).filter(([status]) => status !== '200');
    const failures = [
      ...(settled === undefined ? [] : [settled]),
      ...strange,
      ...failed.map(([status, count]) => `${String(count)} requests at the device: ${status}`),
      ...(lost + doubled === 0 ? [] : [`${String(answered)} requests answered, ${String(stored)} in the store`]),
      ...((this.commands['answered'] ?? 0) === 0 ? ['no command was answered'] : []),
    ];
    return { lost, doubled, ...(failures.length === 0 ? {} : { failure: failures.join('; ') }) };
  }

  /** What the store counts once it has all, and after two further intervals. */
  private async storedOf(answered: number): Promise<number> {
    const deadline = performance.now() + settleSeconds * 1000;
    while ((await this.stored()) < answered && performance.now() < deadline) await pause(500);
    await pause(2_500);
    return this.stored();
  }

  private async stored(): Promise<number> {
    const body = (await this.world.flotillaJson('telemetry', device, '--since', '1d')) as {
      modules: { requests: number }[];
    };
    return body.modules.reduce((total, one) => total + one.requests, 0);
  }

  private cyclesMs(): number {
    const { onSeconds, offSeconds, times } = this.profile.cycles;
    return (onSeconds + offSeconds) * times * 1000;
  }

  /** Moves the link through its cycles; an endless one goes on until it is over. */
  private async drive(): Promise<void> {
    const { cycles, endless } = this.profile;
    for (let cycle = 0; (cycle < cycles.times || endless) && !this.over; cycle++) {
      this.proxy.setState('pass');
      await this.wait(cycles.onSeconds);
      if (cycles.offSeconds === 0) continue;
      this.proxy.setState('silent');
      await this.wait(cycles.offSeconds);
    }
    this.proxy.setState('pass');
  }

  private async wait(seconds: number): Promise<void> {
    const until = performance.now() + seconds * 1000;
    while (!this.over && performance.now() < until) await pause(Math.min(250, until - performance.now()));
  }

  /** One at a time, each with a deadline: an answer, or a reason in time. */
  private async sendCommands(): Promise<void> {
    while (!this.over) {
      const outcome = await this.world.flotilla('logs', device, '-n', '1', '--timeout', '5s').then(
        () => 'answered',
        (error: unknown) => {
          const text = error instanceof ProgramFailed ? error.output : String(error);
          return error instanceof ProgramFailed && error.exit === '6' && /device\.(timeout|offline)/.test(text)
            ? 'not answered, with a reason'
            : `strange answer to a command: ${text.slice(0, 300)}`;
        },
      );
      this.commands[outcome] = (this.commands[outcome] ?? 0) + 1;
      await this.wait(2);
    }
  }

  private async publish(version: number): Promise<void> {
    const { world } = this;
    const folder = join(world.folder, 'large');
    await mkdir(folder, { recursive: true });
    await writeFile(
      join(folder, 'module.yaml'),
      'schema: 1\nname: large\nflavor: onnx\nmodels:\n  - name: large\n    file: model.onnx\n',
    );
    await writeFile(join(folder, 'model.onnx'), model(version));
    await world.flotilla('model', 'register', join(folder, 'model.onnx'), '--name', 'large');
    await world.flotilla('image', 'build', folder);
  }

  /** @returns stops the client and tells how often it got what */
  private async startClient(port: number): Promise<() => Promise<Record<string, number>>> {
    const body = join(this.world.folder, 'body.json');
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, size], data: Array.from({ length: size }, () => 1) }];
    await writeFile(body, JSON.stringify({ inputs }));
    const command = [
      ...(this.namespace?.prefix ?? []),
      process.execPath,
      join(repository, 'dist/test/support/network/score-loop.js'),
      `http://127.0.0.1:${String(port)}/v2/models/large/infer`,
      body,
    ];
    const [program = '', ...args] = command;
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    return async () => {
      child.kill('SIGTERM');
      await ended;
      return JSON.parse(output) as Record<string, number>;
    };
  }
}

/** y = x W. */
function model(seed: number): Buffer {
  return writeOnnx({
    name: 'large',
    inputs: [{ name: 'x', type: 1, shape: ['batch', size] }],
    outputs: [{ name: 'y', type: 1, shape: ['batch', size] }],
    nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
    initializers: [{ name: 'w', type: 1, shape: [size, size], raw: weights(size * size, 0.01, seed) }],
  });
}
