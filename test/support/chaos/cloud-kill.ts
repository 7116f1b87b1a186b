/**
 * The built control plane is killed at every change that it makes to its disk and around every statement
 * that changes its database, while a model is registered, an image built, deployed and undeployed. The
 * operator looks after each failure what came of the command, and repeats it where nothing did.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ownPort } from '#test/support/own-port.js';
import { type Environment, ProgramFailed } from '#cloud/quickstart/program.js';
import { inspectCloud } from '../crash/cloud-consistency.js';
import { crashEnvironment } from '../crash/crash-order.js';
import { repository, World } from '../world.js';
import { pointKindsFirst } from '../crash/points.js';
import { type ChaosBounds, type ChaosOutcome, type ChaosRow, ChaosTally, type ChaosTopic } from './chaos.js';

const module = join(repository, 'modules/digits');

export const topic: ChaosTopic = {
  name: 'cloud-kill',
  about: 'the control plane killed at every change to its disk and database while it registers, builds and deploys',
  run: async (bounds) => [await killEverywhere(bounds)],
};

async function killEverywhere({ runs = Number.POSITIVE_INFINITY, seed, signal, say }: ChaosBounds): Promise<ChaosRow> {
  const learnt = await tell(undefined);
  if (learnt.failure !== undefined) throw new Error(`the story without a kill fails: ${learnt.failure}`);
  say(`${String(learnt.points.length)} points`);
  const tally = new ChaosTally('control plane killed at a change to its disk or database');
  for (const point of pointKindsFirst(learnt.points, seed).slice(0, runs)) {
    if (signal.aborted) break;
    const { points: _points, ...outcome } = await tell(Number(point.split(' ')[0]));
    tally.count(outcome.failure === undefined ? outcome : { ...outcome, failure: `${point}: ${outcome.failure}` });
    say(`${point}: ${outcome.failure ?? 'survived'}`);
  }
  return tally.row();
}

/** One story, on an installation of its own. */
async function tell(killAt: number | undefined): Promise<ChaosOutcome & { readonly points: readonly string[] }> {
  const seen = { path: '', order: undefined as Environment | undefined };
  const world = await World.create({
    agents: { FLOTILLA_AGENT_DISK_RESERVE_MEGABYTES: '0' },
    // Uploads whose grant did not come are collected at once.
    cloud: () => ({ FLOTILLA_RETENTION_BLOB_GRACE_HOURS: '0', ...seen.order }),
  });
  try {
    await world.open();
    const agentPort = await ownPort();
    await world.enrol('cam-1');
    await world.startAgent('cam-1', agentPort);
    await world.cloud?.stop();

    seen.path = join(world.folder, 'points');
    const order = {
      program: 'cloud/cli/main.js',
      commands: ['cloud'],
      root: world.dataDir,
      except: ['logs'],
      sql: true,
      seen: seen.path,
      ...(killAt === undefined ? {} : { killAt }),
    };
    seen.order = crashEnvironment(order);
    const story = new Story(world, () => {
      seen.order = undefined;
    });
    await story.startCloud();
    // From here on it lives: what is killed once is started without the order.
    await story.do(
      () => world.flotilla('model', 'register', join(module, 'model.onnx'), '--name', 'digits'),
      () => story.exists('model', 'show', 'digits:1'),
    );
    await story.do(
      () => world.flotilla('image', 'build', module, '--model', 'digits:1'),
      () => story.exists('image', 'show', 'digits:1'),
    );
    await story.do(
      () => world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--timeout', '60s'),
      async () => false,
    );
    await story.do(
      () => world.flotilla('undeploy', 'digits', '--device', 'cam-1'),
      async () => !(await story.deployed()),
    );
    const outcome = await story.judge();
    const points = (await readFile(seen.path, 'utf8')).trimEnd().split('\n');
    if (killAt !== undefined && story.kills === 0) return { failure: 'the point was not reached', points };
    return { ...outcome, points };
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error), points: [] };
  } finally {
    await world.close();
  }
}

class Story {
  kills = 0;

  constructor(
    private readonly installation: World,
    /** No start after a kill is killed. */
    private readonly clear: () => void,
  ) {}

  /** Also when it is killed while it starts. */
  async startCloud(): Promise<void> {
    try {
      await this.installation.startCloud();
    } catch (error) {
      await this.restart(error);
    }
  }

  /** Repeats a command that a kill cut off, unless what it was to do is done. */
  async do(command: () => Promise<unknown>, isDone: () => Promise<boolean>): Promise<void> {
    for (;;) {
      try {
        await command();
        return;
      } catch (error) {
        await this.restart(error);
        if (await isDone()) return;
      }
    }
  }

  async exists(...args: readonly string[]): Promise<boolean> {
    // What the activity goes on with after the restart is under way still.
    for (let look = 0; look < 50; look++) {
      const found = await this.installation.flotillaJson(...args).catch(() => undefined);
      if (found !== undefined) return true;
      const activities = (await this.installation.flotillaJson('activity', 'list')) as { state: string }[];
      if (activities.every(({ state }) => !['not-started', 'running'].includes(state))) return false;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return false;
  }

  async deployed(): Promise<boolean> {
    const device = (await this.installation.flotillaJson('device', 'show', 'cam-1')) as {
      desired: { modules: Record<string, unknown> };
    };
    return Object.keys(device.desired.modules).length > 0;
  }

  /** A failure that no kill explains is one. */
  private async restart(error: unknown): Promise<void> {
    const cloud = this.installation.cloud;
    const exit = await Promise.race([
      cloud?.exited,
      new Promise((resolve) => setTimeout(() => resolve('alive'), 5_000)),
    ]);
    if (exit !== 'SIGKILL' || this.kills > 0) {
      throw error instanceof ProgramFailed ? new Error(error.output.slice(-600)) : error;
    }
    this.kills += 1;
    this.clear();
    await this.installation.startCloud();
  }

  async judge(): Promise<ChaosOutcome> {
    const wrong: string[] = [];
    const models = await this.listed('model');
    const images = await this.listed('image');
    if (models !== 1) wrong.push(`${String(models)} models`);
    if (images !== 1) wrong.push(`${String(images)} images`);
    const doubled = Math.max(0, models - 1) + Math.max(0, images - 1);
    await this.converged();
    await fetch(`${this.installation.url}/v1/garbage-collection`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${this.installation.ownerToken}`,
        'content-type': 'application/json',
      },
      body: '{}',
    });
    await this.installation.cloud?.stop();
    const { lost, orphans } = await inspectCloud(this.installation.dataDir);
    if (lost.length > 0) wrong.push(`lost: ${lost.join(', ')}`);
    if (orphans.length > 0) wrong.push(`left over: ${orphans.join(', ')}`);
    return { lost: lost.length, doubled, ...(wrong.length === 0 ? {} : { failure: wrong.join('; ') }) };
  }

  private async listed(what: 'model' | 'image'): Promise<number> {
    return ((await this.installation.flotillaJson(what, 'list')) as unknown[]).length;
  }

  private async converged(): Promise<void> {
    for (let look = 0; look < 100; look++) {
      const { desired, reported } = (await this.installation.flotillaJson('device', 'show', 'cam-1')) as {
        desired: { generation: number };
        reported: { generation: number; converged: boolean };
      };
      if (reported.converged && reported.generation === desired.generation) return;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    throw new Error('the device does not come to what is desired');
  }
}
