/** A built control plane in a folder of its own, and a simulated fleet that it has: started, waited for, counted. */
import { readFileSync } from 'node:fs';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Daemon } from '#cloud/quickstart/program.js';
import { repository, World } from '#test/support/world.js';
import { cpuMsOf, sizeOf } from '../../process-cost.js';
import { rolloutState } from './rows.js';

export interface LiveOptions {
  readonly devices: number;
  readonly processes: number;
  /** Between batches of telemetry; `0s`: none. */
  readonly telemetry: string;
  readonly enrolAtOnce: number;
  readonly connectPerSecond: number;
  /** Connections of one address that the broker takes before they have said who they are. */
  readonly strangers: number;
}

/** Rises too slowly to be waited for. */
const patienceMs = 8 * 60_000;

export class FleetRun {
  simulators: Daemon | undefined;

  private constructor(
    readonly world: World,
    readonly options: LiveOptions,
  ) {}

  static async open(options: LiveOptions): Promise<FleetRun> {
    const limit = String(2 * options.devices + 1_000);
    const world = await World.create({
      cloud: () => ({
        FLOTILLA_LOG_LEVEL: 'error',
        // All devices come from one address here.
        FLOTILLA_BROKER_MAX_CONNECTIONS: limit,
        FLOTILLA_BROKER_MAX_CONNECTIONS_PER_ADDRESS: limit,
        FLOTILLA_BROKER_MAX_STRANGERS_PER_ADDRESS: String(options.strangers),
      }),
    });
    await world.open();
    const module = join(world.folder, 'digits');
    await cp(join(repository, 'modules/digits'), module, { recursive: true });
    await world.flotilla('model', 'register', join(module, 'model.onnx'), '--name', 'digits');
    for (const version of ['1', '2']) {
      const definition = join(module, 'module.yaml');
      const text = await readFile(definition, 'utf8');
      // What differs makes it another image.
      await writeFile(definition, text.replace(/absolute: [0-9.]+/, `absolute: 0.000${version}`));
      await world.flotilla('image', 'build', module, '--model', 'digits:1');
      await world.flotilla('release', 'create', 'vision', '--module', `digits:${version}`);
    }
    await world.flotilla('fleet', 'create', 'sim', '--where', 'simulated = "yes"');
    return new FleetRun(world, options);
  }

  get logs(): string {
    return join(this.world.folder, 'log');
  }

  /** Starts the simulated fleet, which enrols and connects. */
  startSimulators(): void {
    const { devices, processes, telemetry, enrolAtOnce, connectPerSecond } = this.options;
    const flags = {
      ...{ '--devices': devices, '--processes': processes, '--telemetry': telemetry, '--log': this.logs },
      ...{ '--state': join(this.world.folder, 'identities'), '--output': 'json' },
      ...{ '--enrol-at-once': enrolAtOnce, '--connect-per-second': connectPerSecond },
    };
    this.simulators = this.world.start(
      'flotilla',
      ['simulate', ...Object.entries(flags).flatMap(([flag, value]) => [flag, String(value)])],
      this.world.operator,
    );
  }

  /** What the simulators said last. */
  private said(what: string): number {
    const found = [...(this.simulators?.output ?? '').matchAll(new RegExp(`(\\d+)(?: of \\d+)? ${what}`, 'g'))];
    return Number(found.at(-1)?.[1] ?? 0);
  }

  get enrolled(): number {
    return this.said('enrolled');
  }

  get connected(): number {
    return this.said('connected');
  }

  get converged(): number {
    return this.said('run what they should');
  }

  /** @throws Error with what was so last, when it takes too long or the simulators end */
  async until(what: string, probe: () => boolean, everyMs = 250): Promise<number> {
    const begun = performance.now();
    let exit: string | undefined;
    void this.simulators?.exited.then((code) => {
      exit = code;
    });
    for (let told = begun; !probe(); await sleep(everyMs)) {
      if (exit !== undefined) throw new Error(`the simulators ended (${exit}): ${this.simulators?.output ?? ''}`);
      const now = performance.now();
      const { enrolled, connected, converged } = this;
      const state = `${String(enrolled)} enrolled, ${String(connected)} connected, ${String(converged)} converged`;
      if (now - begun > patienceMs) throw new Error(`not ${what} in time: ${state}`);
      if (now - told < 10_000) continue;
      told = now;
      console.error(`  ${((now - begun) / 1000).toFixed(0)} s: ${state}; waiting until ${what}`);
    }
    return (performance.now() - begun) / 1000;
  }

  async startRollout(release: string): Promise<void> {
    const { devices } = this.options;
    const policy = `waves: [{ count: ${String(Math.max(1, devices / 100))} }, { percent: 10 }]\nmaxUnavailable: 100%\n`;
    const file = join(this.world.folder, 'policy.yaml');
    await writeFile(file, policy);
    await this.world.flotilla('rollout', 'start', '--release', release, '--fleet', 'sim', '--policy', file);
  }

  untilOver(rollout: number): Promise<number> {
    const isOver = (): boolean =>
      ['succeeded', 'failed', 'aborted'].includes(rolloutState(this.world.dataDir, rollout));
    return this.until(`rollout ${String(rollout)} is over`, isOver);
  }

  /** Killed, and started again at once. @returns seconds until it said that it is ready */
  async killAndRestart(): Promise<number> {
    this.world.cloud?.kill('SIGKILL');
    await this.world.cloud?.exited;
    const begun = performance.now();
    await this.world.startCloud();
    return (performance.now() - begun) / 1000;
  }

  get cloudRss(): number {
    return sizeOf([this.world.cloud?.pid ?? 0])?.rssBytes ?? Number.NaN;
  }

  /** Seconds so far, of the process that runs now. */
  get cloudCpu(): number {
    return (cpuMsOf([this.world.cloud?.pid ?? 0]) ?? Number.NaN) / 1000;
  }
}

/** What waits to be run on this machine, besides us: what a time is worth. */
export function loadAverage(): string {
  return readFileSync('/proc/loadavg', 'utf8').split(' ').slice(0, 3).join(' ');
}
