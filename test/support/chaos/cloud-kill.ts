/**
 * The built control plane is killed at every change that it makes to its disk and around every statement
 * that changes its database, while a model is registered, an image built, deployed and undeployed. The
 * operator looks after each failure what came of the command, and repeats it where nothing did.
 */
import { cp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ownPort } from '#test/support/own-port.js';
import { type Environment, ProgramFailed } from '#cloud/quickstart/program.js';
import { inspectCloud } from '../crash/cloud-consistency.js';
import { crashEnvironment } from '../crash/crash-order.js';
import { repository, World } from '../world.js';
import { numberOf, pointKindsFirst, pointsOfPart } from '../crash/points.js';
import {
  type ChaosBounds,
  type ChaosOutcome,
  type ChaosRow,
  ChaosTally,
  type ChaosTopic,
  describeOutcome,
} from './chaos.js';

const module = join(repository, 'modules/digits');

export const topic: ChaosTopic = {
  name: 'cloud-kill',
  about: 'the control plane killed at every change to its disk and database while it registers, builds and deploys',
  run: async (bounds) => [await killEverywhere(bounds)],
};

async function killEverywhere(bounds: ChaosBounds): Promise<ChaosRow> {
  const { runs = Number.POSITIVE_INFINITY, part, seed, signal, say } = bounds;
  const tally = new ChaosTally('control plane killed at a change to its disk or database');
  const installation = await Installation.open();
  try {
    const learnt = await installation.tell(undefined);
    if (learnt.failure !== undefined) throw new Error(`the story without a kill fails: ${learnt.failure}`);
    const waiting = pointKindsFirst(pointsOfPart(learnt.points, part), seed).slice(0, runs);
    say(`${String(waiting.length)} of ${String(learnt.points.length)} points`);
    for (const point of waiting) {
      if (signal.aborted) break;
      const { points: _points, ...outcome } = await installation.tell(numberOf(point));
      tally.count(outcome.failure === undefined ? outcome : { ...outcome, failure: `${point}: ${outcome.failure}` });
      say(`${point}: ${describeOutcome(outcome)}`);
    }
  } finally {
    await installation.close();
  }
  return tally.row();
}

/** One that is put back to where it was before each story: a device is enrolled, and nothing registered. */
class Installation {
  private stories = 0;
  /** What the control plane is started with. */
  private order: Environment = {};

  private constructor(
    private readonly world: World,
    private readonly agentPort: number,
  ) {}

  static async open(): Promise<Installation> {
    const made: { installation?: Installation } = {};
    const world = await World.create({
      agents: { FLOTILLA_AGENT_DISK_RESERVE_MEGABYTES: '0' },
      // Uploads whose grant did not come are collected at once.
      cloud: () => ({ FLOTILLA_RETENTION_BLOB_GRACE_HOURS: '0', ...made.installation?.order }),
      operatorInProcess: true,
    });
    const installation = new Installation(world, await ownPort());
    made.installation = installation;
    try {
      await world.open();
      await world.enrol('cam-1');
      await world.stopAll();
      for (const folder of installation.folders) await cp(folder, `${folder}.before`, { recursive: true });
      return installation;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.world.close();
  }

  /** Whose state a story changes. */
  private get folders(): readonly string[] {
    return [this.world.dataDir, join(this.world.folder, 'cam-1')];
  }

  async tell(killAt: number | undefined): Promise<ChaosOutcome & { readonly points: readonly string[] }> {
    const { world } = this;
    this.stories += 1;
    const seen = join(world.folder, `points-${String(this.stories)}`);
    try {
      for (const folder of this.folders) {
        await rm(folder, { recursive: true });
        await cp(`${folder}.before`, folder, { recursive: true });
      }
      await world.startAgent('cam-1', this.agentPort);
      this.order = crashEnvironment({
        program: 'cloud/cli/main.js',
        commands: ['cloud'],
        root: world.dataDir,
        except: ['logs'],
        sql: true,
        seen,
        ...(killAt === undefined ? {} : { killAt }),
      });
      const story = new Story(world, () => {
        this.order = {};
      });
      const outcome = await story.tell();
      const points = (await readFile(seen, 'utf8')).trimEnd().split('\n');
      return { ...outcome, missed: killAt !== undefined && story.kills === 0, points };
    } catch (error) {
      return { failure: error instanceof Error ? error.message : String(error), points: [] };
    } finally {
      this.order = {};
      await world.stopAll();
    }
  }
}

class Story {
  kills = 0;

  constructor(
    private readonly installation: World,
    /** No start after a kill is killed. */
    private readonly clear: () => void,
  ) {}

  /** What is killed once is started without the order. */
  async tell(): Promise<ChaosOutcome> {
    const { installation: world } = this;
    await this.startCloud();
    await this.do(
      () => world.flotilla('model', 'register', join(module, 'model.onnx'), '--name', 'digits'),
      () => this.exists('model', 'show', 'digits:1'),
    );
    await this.do(
      () => world.flotilla('image', 'build', module, '--model', 'digits:1'),
      () => this.exists('image', 'show', 'digits:1'),
    );
    await this.do(
      () => world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--timeout', '60s'),
      async () => false,
    );
    await this.do(
      () => world.flotilla('undeploy', 'digits', '--device', 'cam-1'),
      async () => !(await this.deployed()),
    );
    return this.judge();
  }

  /** Also when it is killed while it starts. */
  private async startCloud(): Promise<void> {
    try {
      await this.installation.startCloud();
    } catch (error) {
      await this.restart(error);
    }
  }

  /** Repeats a command that a kill cut off, unless what it was to do is done. */
  private async do(command: () => Promise<unknown>, isDone: () => Promise<boolean>): Promise<void> {
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

  private async exists(...args: readonly string[]): Promise<boolean> {
    for (let look = 0; look < 600; look++) {
      // Asked before it is looked for: what an activity, which goes on after the restart, ends with is there from then on.
      const activities = (await this.installation.flotillaJson('activity', 'list')) as { state: string }[];
      const found = await this.installation.flotillaJson(...args).catch(() => undefined);
      if (found !== undefined) return true;
      if (activities.every(({ state }) => !['not-started', 'running'].includes(state))) return false;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`${args.join(' ')}: an activity goes on and on`);
  }

  private async deployed(): Promise<boolean> {
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

  private async judge(): Promise<ChaosOutcome> {
    const wrong: string[] = [];
    const models = await this.listed('model');
    const images = await this.listed('image');
    if (models !== 1) wrong.push(`${String(models)} models`);
    if (images !== 1) wrong.push(`${String(images)} images`);
    const doubled = Math.max(0, models - 1) + Math.max(0, images - 1);
    await this.converged();
    await this.do(
      () => this.collectGarbage(),
      () => Promise.resolve(false),
    );
    if ((await this.installation.cloud?.stop()) === 'SIGKILL') {
      // While it stopped: there must be a next start all the same.
      this.kills += 1;
      this.clear();
      await this.installation.startCloud();
      await this.installation.cloud?.stop();
    }
    const { lost, orphans } = await inspectCloud(this.installation.dataDir);
    if (lost.length > 0) wrong.push(`lost: ${lost.join(', ')}`);
    if (orphans.length > 0) wrong.push(`left over: ${orphans.join(', ')}`);
    return { lost: lost.length, doubled, ...(wrong.length === 0 ? {} : { failure: wrong.join('; ') }) };
  }

  private async collectGarbage(): Promise<void> {
    const { url, ownerToken } = this.installation;
    const headers = { authorization: `Bearer ${ownerToken}`, 'content-type': 'application/json' };
    const { ok, status } = await fetch(`${url}/v1/garbage-collection`, { method: 'POST', headers, body: '{}' });
    if (!ok) throw new Error(`garbage collection was answered with ${String(status)}`);
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
