/**
 * One device's bad day: its control plane away (a scaled hour), the agent killed twice, its disk filled, its
 * clock set back a year, the agent started again on that clock, which then goes a year ahead; then its control
 * plane is back. Every request that it answered must be in the store once, and it must come to what is desired.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ownPort } from '#test/support/own-port.js';
import type { Daemon } from '#cloud/quickstart/program.js';
import { SmallDisk } from '../small-disk.js';
import { repository, World } from '../world.js';
import { type ChaosBounds, type ChaosOutcome, type ChaosRow, ChaosTally, type ChaosTopic } from './chaos.js';

const module = join(repository, 'modules/digits');
const year = 365 * 86_400;
/** As long as a batch is counted in memory alone, times three. */
const spooledMs = 1_000;

export const topic: ChaosTopic = {
  name: 'bad-day',
  about:
    'one device offline, killed twice, its disk filled, its clock set back a year and then ahead one, and online again',
  run: async ({ runs = 3, signal, say }: ChaosBounds): Promise<readonly ChaosRow[]> => {
    const clock = await findFaketime();
    const tally = new ChaosTally(
      `offline, killed twice, disk full${clock === undefined ? '' : ', clock a year back and ahead'}`,
    );
    for (let run = 0; run < runs && !signal.aborted; run++) {
      const outcome = await BadDay.live(clock).catch((error: unknown): ChaosOutcome => ({ failure: String(error) }));
      tally.count(outcome);
      say(outcome.failure ?? 'survived');
    }
    return [tally.row()];
  },
};

/** Where the library of faketime is; undefined where it is not installed. */
async function findFaketime(): Promise<string | undefined> {
  const { stdout } = await promisify(execFile)('sh', ['-c', 'ls /usr/lib/*/faketime/libfaketime.so.1']).catch(() => ({
    stdout: '',
  }));
  const [path = ''] = stdout.split('\n');
  return existsSync(path) ? path : undefined;
}

class BadDay {
  private asked = 0;
  private agent: Daemon | undefined;
  private readonly wrong: string[] = [];

  private constructor(
    private readonly world: World,
    private readonly port: number,
    private readonly digit: Buffer,
    private readonly disk: SmallDisk | undefined,
    private readonly fakesClock: boolean,
    private readonly setClock: (seconds: number) => Promise<void>,
  ) {}

  static async live(faketime: string | undefined): Promise<ChaosOutcome> {
    const clock = { path: '' };
    const world = await World.create({
      agents: {
        FLOTILLA_AGENT_DISK_RESERVE_MEGABYTES: '0',
        FLOTILLA_AGENT_TELEMETRY_INTERVAL_SECONDS: '0.1',
        FLOTILLA_AGENT_LINK_MAX_RECONNECT_SECONDS: '1',
      },
      agentEnvironment: () =>
        faketime === undefined
          ? {}
          : {
              LD_PRELOAD: faketime,
              FAKETIME_TIMESTAMP_FILE: clock.path,
              FAKETIME_NO_CACHE: '1',
              FAKETIME_DONT_FAKE_MONOTONIC: '1',
              DONT_FAKE_MONOTONIC: '1',
            },
    });
    clock.path = join(world.folder, 'clock');
    const setClock = (seconds: number): Promise<void> =>
      writeFile(clock.path, `${seconds < 0 ? '' : '+'}${String(seconds)}s`);
    await setClock(0);
    const disk = await SmallDisk.mount(join(world.folder, 'cam-1'), 12);
    try {
      const digit = await readFile(join(module, 'fixtures/digit.json'));
      return await new BadDay(world, await ownPort(), digit, disk, faketime !== undefined, setClock).tell();
    } finally {
      await world.stopAll();
      await disk?.unmount();
      await world.close();
    }
  }

  private async tell(): Promise<ChaosOutcome> {
    const { world } = this;
    await world.open();
    await world.flotilla('model', 'register', join(module, 'model.onnx'), '--name', 'digits');
    await world.flotilla('image', 'build', module, '--model', 'digits:1');
    await world.flotilla('model', 'register', join(module, 'model-v2.onnx'), '--name', 'digits');
    await world.flotilla('image', 'build', module, '--model', 'digits:2', '--golden', join(module, 'golden-v2.json'));
    await world.enrol('cam-1');
    await this.startAgent();
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--timeout', '60s');
    await this.ask(20);

    await world.cloud?.stop();
    // An hour at one batch in ten seconds, as many batches in less time.
    for (let part = 0; part < 10; part++) {
      await this.ask(10);
      await pause(400);
    }
    for (let kill = 0; kill < 2; kill++) {
      await pause(spooledMs);
      this.agent?.kill('SIGKILL');
      await this.agent?.exited;
      await this.startAgent();
      await this.ask(20);
    }
    await this.disk?.fill();
    await this.ask(20);
    await pause(spooledMs);
    await this.ask(20);
    await this.disk?.free();
    await pause(spooledMs);

    await this.setClock(-year);
    await this.ask(20);
    await pause(spooledMs);
    // Also a start on the wrong clock.
    await this.agent?.stop();
    await this.startAgent();
    await this.requireOldClock();
    await this.ask(20);
    // Two years on at once: it meets its control plane again with certificates that this clock calls expired.
    await this.setClock(year);
    await this.ask(20);
    await pause(spooledMs);

    await world.startCloud();
    await world.flotilla('deploy', 'digits:2', '--device', 'cam-1', '--timeout', '90s', '--probation', '0');
    await this.ask(20);
    return this.judge();
  }

  private async startAgent(): Promise<void> {
    this.agent = await this.world.startAgent('cam-1', this.port);
    // Before anything is deployed nothing answers.
    if (this.asked === 0) return;
    await this.agent.until('scoring', 30_000, async () =>
      (await this.askOnce().catch(() => undefined)) === 200 ? true : undefined,
    );
  }

  /** Else this would prove nothing. */
  private async requireOldClock(): Promise<void> {
    const { agent } = this;
    if (!this.fakesClock || agent === undefined) return;
    const said = Number(await agent.until('logging', 30_000, () => /"time":(\d+)/.exec(agent.output)?.[1]));
    if (!(said < Date.now() - (year - 86_400) * 1000))
      this.wrong.push(`the agent's clock was not set back: ${String(said)}`);
  }

  private async ask(times: number): Promise<void> {
    for (let count = 0; count < times; count++) {
      const status = await this.askOnce().catch((error: unknown) => String(error));
      if (status !== 200) this.wrong.push(`a request was answered with ${String(status)}`);
    }
  }

  private async askOnce(): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${String(this.port)}/v2/models/digits/infer`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: this.digit,
    });
    await response.arrayBuffer();
    if (response.status === 200) this.asked += 1;
    return response.status;
  }

  private async judge(): Promise<ChaosOutcome> {
    const read = async (): Promise<{ counted: number; dropped: number }> => {
      const body = (await this.world.flotillaJson('telemetry', 'cam-1', '--since', '1h')) as {
        dropped: number;
        modules: { requests: number }[];
      };
      return { counted: body.modules.reduce((sum, { requests }) => sum + requests, 0), dropped: body.dropped };
    };
    let found = await read();
    for (let look = 0; look < 60 && found.counted < this.asked; look++) {
      await pause(500);
      found = await read();
    }
    await pause(spooledMs);
    found = await read();
    if (found.counted !== this.asked || found.dropped > 0) {
      this.wrong.push(
        `${String(this.asked)} answers, ${String(found.counted)} counted, ${String(found.dropped)} batches dropped`,
      );
    }
    return {
      lost: Math.max(0, this.asked - found.counted),
      doubled: Math.max(0, found.counted - this.asked),
      ...(this.wrong.length === 0 ? {} : { failure: this.wrong.slice(0, 5).join('; ') }),
    };
  }
}
