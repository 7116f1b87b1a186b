/**
 * The built agent is killed at every change that it makes to its disk, and within every write, in a story
 * of enrolling, two versions and a retired module. After each kill it is started again, and the story must
 * come to its end with nothing answered but by a whole and proved version, and nothing counted twice.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ownPort } from '#test/support/own-port.js';
import { numberOf, pointKindsFirst, pointsOfPart } from '../crash/points.js';
import { judgeTrace, type TraceJudgement, type TraceRules } from '../crash/system-calls.js';
import { World, repository } from '../world.js';
import {
  type ChaosBounds,
  type ChaosOutcome,
  ChaosTally,
  type ChaosRow,
  type ChaosTopic,
  describeOutcome,
} from './chaos.js';
import { type Answer, DeviceStory } from './device-story.js';

const module = join(repository, 'modules/digits');

export const topic: ChaosTopic = {
  name: 'agent-kill',
  about: 'the agent killed at every change to its disk while it enrols, deploys two versions and retires a module',
  run: async (bounds) => {
    const harness = await AgentKills.open();
    try {
      const { points, trace } = await harness.learn();
      return [...traceRow(points, trace), await harness.killEverywhere(points, bounds)];
    } finally {
      await harness.close();
    }
  },
};

export class AgentKills {
  private stories = 0;
  private digit: Buffer = Buffer.alloc(0);
  /** By version of the model; learnt from a story without a kill. */
  private readonly right = new Map<string, Answer>();

  private constructor(readonly world: World) {}

  static async open(): Promise<AgentKills> {
    const world = await World.create({
      agents: { FLOTILLA_AGENT_DISK_RESERVE_MEGABYTES: '0' },
      operatorInProcess: true,
    });
    const harness = new AgentKills(world);
    try {
      await world.open();
      harness.digit = await readFile(join(module, 'fixtures/digit.json'));
      for (const [model, more] of [
        ['model.onnx', []],
        ['model-v2.onnx', ['--golden', join(module, 'golden-v2.json')]],
      ] as const) {
        await world.flotilla('model', 'register', join(module, model), '--name', 'digits');
        const version = model === 'model.onnx' ? '1' : '2';
        await world.flotilla('image', 'build', module, '--model', `digits:${version}`, ...more);
      }
      return harness;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.world.close();
  }

  /**
   * A story without a kill, watched by strace where there is one.
   *
   * @returns the points that it passes, and what strace says of them
   */
  async learn(): Promise<{ readonly points: readonly string[]; readonly trace: TraceJudgement | undefined }> {
    const story = await this.begin(undefined, await hasStrace());
    const { failure } = await story.tell();
    if (failure !== undefined) throw new Error(`the story without a kill fails: ${failure}`);
    const points = (await readFile(story.seen, 'utf8')).trimEnd().split('\n');
    const text = await readFile(story.traceFile, 'utf8').catch(() => undefined);
    return { points, trace: text === undefined ? undefined : judgeTrace(text, rulesOf(story.root)) };
  }

  async killEverywhere(
    points: readonly string[],
    { runs = Number.POSITIVE_INFINITY, part, seed, signal, say }: ChaosBounds,
  ): Promise<ChaosRow> {
    const tally = new ChaosTally('agent killed at a change to its disk');
    const waiting = pointKindsFirst(pointsOfPart(points, part), seed).slice(0, runs);
    say(`${String(waiting.length)} of ${String(points.length)} points`);
    const lane = async (): Promise<void> => {
      for (let point = waiting.shift(); point !== undefined && !signal.aborted; point = waiting.shift()) {
        const outcome = await this.killAt(point);
        tally.count(outcome);
        say(`${point}: ${describeOutcome(outcome)}`);
      }
    };
    // Each story is a device of its own, and waits more than it works.
    await Promise.all(Array.from({ length: 3 }, lane));
    return tally.row();
  }

  private async killAt(point: string): Promise<ChaosOutcome> {
    const story = await this.begin(numberOf(point));
    const outcome = await story
      .tell()
      .catch(
        async (error: unknown): Promise<ChaosOutcome> => ({ failure: `${String(error)}; ${await story.describe()}` }),
      );
    await story.end();
    return outcome.failure === undefined ? outcome : { ...outcome, failure: `${point}: ${outcome.failure}` };
  }

  private async begin(killAt: number | undefined, traced = false): Promise<DeviceStory> {
    this.stories += 1;
    const name = `cam-${String(this.stories)}`;
    return new DeviceStory(this.world, name, await ownPort(), this.digit, this.right, killAt, traced);
  }
}

/** What needs not last, or is of use without a sync, and why. */
function rulesOf(root: string): TraceRules {
  return {
    root,
    // Logs and samples may be lost; sockets and their folder are made anew; a lock that is damaged is free.
    passing: ['logs/', 'capture/', 'run/', 'agent.sock', 'agent.lock'],
    // A partial blob is hashed before it is used. In the spool, what was acknowledged is noted without a sync.
    mayEndUnsynced: ['partial/', 'spool/'],
  };
}

function traceRow(points: readonly string[], trace: TraceJudgement | undefined): ChaosRow[] {
  if (trace === undefined) return [];
  const failures = [...trace.wrong, ...unseenNames(points, trace)];
  const fault = 'a name without a sync, as strace sees it';
  return [
    { fault, runs: trace.named.length, survived: trace.named.length - failures.length, lost: 0, doubled: 0, failures },
  ];
}

/** Names that strace saw given and the harness did not: changes that no kill can be tried at. */
export function unseenNames(points: readonly string[], { named }: TraceJudgement): string[] {
  const seen = new Set(points.map((point) => / -> (.*)$/.exec(point)?.[1]));
  return named.filter((target) => !seen.has(target)).map((target) => `${target} got its name past the harness`);
}

async function hasStrace(): Promise<boolean> {
  return promisify(execFile)('strace', ['-V']).then(
    () => true,
    () => false,
  );
}
