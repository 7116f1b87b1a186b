/** One device's story: enrolled, two versions deployed, a module retired; killed once on the way, and started again. */
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Daemon } from '#cloud/quickstart/program.js';
import { crashEnvironment } from '../crash/crash-order.js';
import { tracedCalls } from '../crash/system-calls.js';
import { installedAgent, type World } from '../world.js';
import type { ChaosOutcome } from './chaos.js';

/** What a version answers to the one question, byte for byte. */
export interface Answer {
  readonly digest: string;
  readonly body: string;
}

export class DeviceStory {
  readonly seen: string;
  readonly traceFile: string;
  readonly root: string;
  private agent: Daemon | undefined;
  private starts = 0;
  private over = false;
  private killed = false;
  private asked = 0;
  private readonly wrong: string[] = [];

  constructor(
    private readonly world: World,
    private readonly name: string,
    private readonly port: number,
    private readonly digit: Buffer,
    private readonly right: Map<string, Answer>,
    private readonly killAt: number | undefined,
    private readonly traced: boolean,
  ) {
    this.seen = join(world.folder, `${name}.seen`);
    this.traceFile = join(world.folder, `${name}.trace`);
    this.root = join(world.folder, name);
  }

  /** Enrol, version 1, version 2, nothing; then everything that was counted is in the store. */
  async tell(): Promise<ChaosOutcome> {
    await this.enrol();
    const living = this.keepAlive();
    const polling = this.poll();
    try {
      await this.deploy('digits:1');
      await this.deploy('digits:2');
      await this.world.flotilla('undeploy', 'digits', '--device', this.name);
      await this.untilGone();
    } finally {
      this.over = true;
      await polling;
    }
    await this.settled();
    const killedBefore = this.killed;
    await this.end();
    await living;
    if (this.killed && !killedBefore) await this.startOnceMore();
    const outcome = await this.judge();
    return this.killAt === undefined || this.killed ? outcome : { ...outcome, missed: true };
  }

  /** Killed while it stopped: there must be a next start all the same. */
  private async startOnceMore(): Promise<void> {
    this.agent = this.world.start('flotilla-agent', ['run'], this.environment());
    await this.settled();
    await this.end();
  }

  /** What the device and its control plane say, for whoever looks into a failure. */
  async describe(): Promise<string> {
    const explained = await this.world.agentCommand(this.name, 'explain', '--output', 'json').catch(String);
    const known = await this.world.flotilla('device', 'show', this.name, '--output', 'json').catch(String);
    const output = this.agent?.output.slice(-2000) ?? '';
    return `the agent explains: ${explained}; its control plane knows: ${known}; the agent said: ${output}`;
  }

  async end(): Promise<void> {
    this.over = true;
    await this.agent?.stop();
  }

  /** The first process of each kind may be killed; what is started in its place may not. */
  private environment(): Record<string, string> {
    const order = {
      program: installedAgent,
      commands: ['run', 'enroll'],
      root: this.root,
      except: ['logs', 'run', 'capture'],
      sql: false,
      seen: this.seen,
      ...(this.killAt === undefined || this.starts > 0 ? {} : { killAt: this.killAt }),
    };
    return { ...this.world.agentEnvironment(this.name, this.port), ...crashEnvironment(order) };
  }

  private async enrol(): Promise<void> {
    const exit = await this.tryToEnrol(await this.newToken());
    if (exit.code === '0') return;
    this.killed = exit.code === 'SIGKILL';
    if (!this.killed) throw new Error(`enrolling ended with ${exit.code}: ${exit.output}`);
    this.starts += 1;
    const again = await this.tryToEnrol(exit.token);
    // Killed after its last change: it is enrolled, and says so.
    if (again.code === '0' || again.output.includes('[device.exists]')) return;
    if (!again.output.includes('flotilla device retire')) {
      throw new Error(`enrolling again ended with ${again.code}: ${again.output}`);
    }
    // The answer was lost with the process: the remedy that it names has to work.
    await this.world.flotilla('device', 'retire', this.name);
    const anew = await this.tryToEnrol(await this.newToken());
    if (anew.code !== '0') throw new Error(`the remedy does not help: ${anew.output}`);
  }

  private async newToken(): Promise<string> {
    return ((await this.world.flotillaJson('device', 'token')) as { token: string }).token;
  }

  private async tryToEnrol(token: string): Promise<{ code: string; output: string; token: string }> {
    const args = ['enroll', '--token', token, '--name', this.name];
    const program = this.world.start('flotilla-agent', args, this.environment());
    const code = await program.exited;
    return { code, output: program.output, token };
  }

  /** Runs the agent, and once more whenever it was killed. */
  private async keepAlive(): Promise<void> {
    while (!this.over) {
      const strace = ['strace', '-D', '-f', '-y', '-s', '0', '-o', this.traceFile, '-e', `trace=${tracedCalls}`];
      this.agent = this.world.start('flotilla-agent', ['run'], this.environment(), this.traced ? strace : []);
      const exit = await this.agent.exited;
      this.starts += 1;
      this.killed ||= exit === 'SIGKILL';
      if (this.over) return;
      if (exit !== 'SIGKILL' || this.starts > 1) {
        this.wrong.push(`the agent ended with ${exit}: ${this.agent.output.slice(-2000)}`);
        return;
      }
    }
  }

  private async poll(): Promise<void> {
    while (!this.over) {
      await this.ask().catch(() => undefined);
      await pause(20);
    }
  }

  /** Whoever answers must be a whole version that was proved, and answer as that version does. */
  private async ask(): Promise<string | undefined> {
    const response = await fetch(`http://127.0.0.1:${String(this.port)}/v2/models/digits/infer`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: this.digit,
    });
    const text = await response.text();
    if (response.status !== 200) return undefined;
    this.asked += 1;
    const version = response.headers.get('flotilla-version') ?? '';
    const { outputs } = JSON.parse(text) as { outputs: unknown };
    const answer = { digest: response.headers.get('flotilla-digest') ?? '', body: JSON.stringify(outputs) };
    const known = this.right.get(version);
    if (known === undefined) this.right.set(version, answer);
    else if (known.digest !== answer.digest || known.body !== answer.body) {
      this.wrong.push(`version ${version} (${answer.digest}) answered ${answer.body}`);
    }
    return version;
  }

  private async deploy(image: string): Promise<void> {
    await this.world.flotilla('deploy', image, '--device', this.name, '--timeout', '90s', '--probation', '0');
  }

  /** A port without a module answers that there is none, or refuses; it does not keep a client waiting. */
  private async untilGone(): Promise<void> {
    const deadline = performance.now() + 60_000;
    const look = (): Promise<'there' | 'gone'> =>
      fetch(`http://127.0.0.1:${String(this.port)}/v2/models/digits`, { signal: AbortSignal.timeout(5_000) }).then(
        (response) => (response.ok ? 'there' : 'gone'),
        (error: unknown) => {
          if (error instanceof Error && error.name === 'TimeoutError')
            throw new Error('a client of a port without a module is left waiting');
          return 'gone';
        },
      );
    while ((await look()) === 'there') {
      if (performance.now() > deadline) throw new Error('the module was not retired within 60 s');
      await pause(50);
    }
  }

  /** The device says that it has come to what is desired, and has nothing left to send. */
  private async settled(): Promise<void> {
    const deadline = performance.now() + 60_000;
    for (;;) {
      const status = await this.world.statusOf(this.name);
      const waiting = Object.values(status?.spool ?? {});
      if (status?.reported.converged === true && waiting.every(({ batches }) => batches <= 1)) return;
      if (performance.now() > deadline) {
        throw new Error(`not settled within 60 s: ${[JSON.stringify(status), ...this.wrong].join('; ')}`);
      }
      await pause(100);
    }
  }

  private async judge(): Promise<ChaosOutcome> {
    const body = (await this.world.flotillaJson('telemetry', this.name, '--since', '1h')) as {
      dropped: number;
      modules: { requests: number }[];
    };
    const counted = body.modules.reduce((sum, { requests }) => sum + requests, 0);
    // What was counted in memory at the kill is gone; nothing may be there that was not asked.
    const doubled = Math.max(0, counted - this.asked);
    const lost = body.dropped;
    if (doubled > 0) this.wrong.push(`${String(this.asked)} answers, ${String(counted)} counted`);
    if (lost > 0) this.wrong.push(`${String(lost)} batches of telemetry are missing`);
    return { lost, doubled, ...(this.wrong.length === 0 ? {} : { failure: this.wrong.join('; ') }) };
  }
}
