/**
 * What the built agent itself writes while it takes two versions and is killed and started in between, recorded
 * change by change; and what a power cut at any moment may leave of it, from which the built agent is started
 * again. It must answer with the version that it had said it runs, without a network; and then, with one, come
 * to what is desired, with nothing of its telemetry missing that the control plane of that moment had not stored.
 */
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import type { StatusView } from '#agent/local/explanation.js';
import { askAgent } from '#agent/local/local-client.js';
import { stateFolder } from '#agent/store/state-folder.js';
import { Daemon } from '#cloud/quickstart/program.js';
import { type DesiredModule, probationSchema } from '#shared/protocol/desired.js';
import { emptyReportedState } from '#shared/protocol/reported.js';
import { buildModule, enrolledFolder, removeFolder } from '../agent/agent-harness.js';
import { type CloudMemory, FakeCloud, until } from '../agent/fake-cloud.js';
import { crashEnvironment } from '../crash/crash-order.js';
import { type JournalEntry, readJournal } from '../crash/journal.js';
import { PowerCutDisk } from '../crash/power-cut.js';
import { ownPort } from '../own-port.js';
import { installedAgent, repository } from '../world.js';
import {
  type ChaosBounds,
  type ChaosOutcome,
  type ChaosRow,
  ChaosTally,
  type ChaosTopic,
  seededRandom,
} from './chaos.js';

const digits = join(repository, 'modules/digits');
/** Starts of a default run by hand. */
const defaultRuns = 60;
const patienceMs = 60_000;
/** What is there is made anew at each start, or may be lost. */
const unwatched = ['logs', 'run', 'capture'];
const nothingKnown: CloudMemory = {
  state: emptyReportedState,
  reportedAt: { bootId: 0, sequence: 0 },
  lastBoot: 0,
  upTo: new Map(),
};

export const topic: ChaosTopic = {
  name: 'agent-cut',
  about: 'the built agent started from what a power cut at any moment of its own writing may leave',
  run: async (bounds) => [await cutEverywhere(bounds)],
};

async function cutEverywhere({ runs = defaultRuns, seed, signal, say }: ChaosBounds): Promise<ChaosRow> {
  const tally = new ChaosTally('power cut of the built agent, as it wrote');
  const bench = await CutBench.open();
  try {
    const changes = await bench.record();
    say(`${String(changes)} changes`);
    const random = seededRandom(seed);
    for (let run = 0; run < runs && !signal.aborted; run++) {
      const at = Math.floor(random() * changes);
      const outcome = await bench.cut(at, random);
      tally.count(outcome);
      say(`after change ${String(at)}: ${outcome.failure ?? 'survived'}`);
    }
  } finally {
    await bench.close();
  }
  return tally.row();
}

/** What the control plane knew when the journal was so long. */
interface Known {
  readonly upTo: number;
  readonly memory: CloudMemory;
}

class CutBench {
  private generation = 0;
  private readonly known: Known[] = [];
  private journal: JournalEntry[] = [];
  private versions: readonly DesiredModule[] = [];
  private digit: Buffer = Buffer.alloc(0);
  /** By version, what the device answers. */
  private readonly right = new Map<string, string>();
  private readonly before = new Map<string, Buffer>();
  private agent: Daemon | undefined;

  private constructor(
    private readonly cloud: FakeCloud,
    private readonly work: string,
    /** Where it wrote; what is cut off stands in folders of its own. */
    private readonly root: string,
    private readonly port: number,
  ) {}

  static async open(): Promise<CutBench> {
    const cloud = await FakeCloud.start();
    const work = await mkdtemp(join(tmpdir(), 'fc-'));
    return new CutBench(cloud, work, await enrolledFolder(cloud), await ownPort());
  }

  async close(): Promise<void> {
    await this.agent?.stop();
    await this.cloud.close();
    for (const folder of [this.work, this.root]) await removeFolder(folder);
  }

  /** @returns how many changes there were */
  async record(): Promise<number> {
    const { cloud, root } = this;
    for (const name of ['identity.json', 'trust.json']) this.before.set(name, await readFile(join(root, name)));
    this.digit = await readFile(join(digits, 'fixtures/digit.json'));
    this.versions = await this.build();
    const file = join(this.work, 'journal');
    cloud.onTaken = () => this.known.push({ upTo: statSync(file).size, memory: cloud.memory });
    this.start(root, file);
    await this.deploy(0);
    await this.ask();
    await until('counted', () => cloud.stored.telemetry.length > 1, patienceMs);
    this.agent?.kill('SIGKILL');
    await this.agent?.exited;
    this.start(root, file);
    await this.deploy(1);
    await this.ask();
    await this.settled(root);
    await this.agent?.stop();
    cloud.onTaken = () => undefined;
    this.journal = readJournal(await readFile(file, 'utf8'));
    await this.requireWhole();
    return this.journal.length;
  }

  async cut(at: number, random: () => number): Promise<ChaosOutcome> {
    const { cloud } = this;
    const moment = this.journal[at];
    const memory = this.known.filter(({ upTo }) => upTo <= (moment?.upTo ?? 0)).at(-1)?.memory ?? nothingKnown;
    const target = join(this.work, `cut-${String(at)}`);
    await mkdir(target, { mode: 0o700 });
    await this.diskAfter(at).cut(target, random);
    await cloud.close();
    cloud.recall(memory);
    try {
      const wrong = await this.recover(target, memory);
      if (wrong.length === 0) return {};
      const { op, path } = moment?.effect ?? { op: 'nothing', path: this.root };
      return { failure: `after ${op} ${path.slice(this.root.length)}: ${wrong.join('; ')}`, lost: wrong.length };
    } catch (error) {
      const said = this.agent?.output.slice(-1500) ?? '';
      return { failure: `after change ${String(at)}: ${String(error)}; the agent said: ${said}`, lost: 1 };
    } finally {
      await this.agent?.stop();
      await rm(target, { recursive: true, force: true });
    }
  }

  private async recover(target: string, memory: CloudMemory): Promise<string[]> {
    const { cloud } = this;
    const wrong: string[] = [];
    this.start(target);
    const active = memory.state.modules['digits']?.active;
    if (active?.state === 'running') {
      await until(
        'answering without a network',
        async () => (await this.ask().catch(() => undefined)) !== undefined,
        patienceMs,
      );
      const answering = Number(await this.ask());
      if (answering < active.version)
        wrong.push(`version ${String(answering)}, not ${String(active.version)}, answers`);
    }
    await cloud.listen();
    await this.deploy(1);
    await this.ask();
    await this.settled(target);
    const boot = Math.min(...cloud.presences.map(({ bootId }) => bootId));
    if (boot <= memory.lastBoot) wrong.push(`boot ${String(boot)} after ${String(memory.lastBoot)}`);
    for (const [kind, count] of Object.entries(cloud.gaps)) if (count > 0) wrong.push(`${kind} has a gap`);
    return wrong;
  }

  private async build(): Promise<DesiredModule[]> {
    const layout = join(this.work, 'layout');
    this.cloud.layouts.push(layout);
    const built: DesiredModule[] = [];
    for (const [model, more] of [
      ['model.onnx', {}],
      ['model-v2.onnx', { goldenFile: join(digits, 'golden-v2.json') }],
    ] as const) {
      const { module } = await buildModule({
        moduleFolder: digits,
        layout,
        publisher: this.cloud.publisher,
        version: built.length + 1,
        models: { digits: join(digits, model) },
        ...more,
      });
      const probation = probationSchema.parse({ windowSeconds: 0 });
      built.push({ ...module, update: { probation, keepVersions: 2, maxDeferSeconds: 600 } });
    }
    return built;
  }

  private start(folder: string, journal?: string): void {
    const order = {
      program: installedAgent,
      commands: ['run'],
      root: folder,
      except: unwatched,
      sql: false,
      seen: join(this.work, 'seen'),
      ...(journal === undefined ? {} : { journal }),
    };
    this.agent = new Daemon({
      build: join(repository, 'dist'),
      name: 'flotilla-agent',
      entry: installedAgent,
      args: ['run'],
      env: {
        HOME: this.work,
        FLOTILLA_AGENT_STATE_DIR: folder,
        FLOTILLA_AGENT_SCORING_PORT: String(this.port),
        FLOTILLA_AGENT_TELEMETRY_INTERVAL_SECONDS: '0.3',
        FLOTILLA_AGENT_LINK_MAX_RECONNECT_SECONDS: '0.3',
        FLOTILLA_AGENT_DISK_RESERVE_MEGABYTES: '0',
        ...(journal === undefined ? {} : crashEnvironment(order)),
      },
    });
  }

  private async deploy(index: number): Promise<void> {
    const { cloud } = this;
    const module = this.versions[index];
    this.generation += 1;
    const { generation } = this;
    if (module !== undefined) cloud.publishDesired(cloud.desiredOf(generation, { digits: module }));
    await until(
      `converged to generation ${String(generation)}`,
      () => cloud.state.converged && cloud.state.generation === generation,
      patienceMs,
    );
  }

  /** @returns the version that answered, as it must */
  private async ask(): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${String(this.port)}/v2/models/digits/infer`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', connection: 'close' },
      body: this.digit,
    });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`answered with ${String(response.status)}: ${text}`);
    const version = response.headers.get('flotilla-version') ?? '';
    const answer = JSON.stringify((JSON.parse(text) as { outputs: unknown }).outputs);
    const known = this.right.get(version);
    if (known !== undefined && known !== answer) throw new Error(`version ${version} answered ${answer}`);
    this.right.set(version, answer);
    return version;
  }

  /** Nothing is left to send but what is counted now. */
  private settled(folder: string): Promise<void> {
    const { socket } = stateFolder(folder);
    return until(
      'its spool is sent',
      async () => {
        const status = (await askAgent(socket, '/status').catch(() => undefined)) as StatusView | undefined;
        return status !== undefined && Object.values(status.spool).every(({ batches }) => batches <= 1);
      },
      patienceMs,
    );
  }

  private diskAfter(at: number): PowerCutDisk {
    const disk = new PowerCutDisk(this.root);
    for (const [name, bytes] of this.before) disk.had(join(this.root, name), bytes);
    for (const { effect } of this.journal.slice(0, at + 1)) disk.take(effect);
    return disk;
  }

  /** Where nothing is cut, what was recorded is what is there: else this would try less than the agent does. */
  private async requireWhole(): Promise<void> {
    const recorded = this.diskAfter(this.journal.length).files;
    const there = await filesBelow(this.root);
    for (const path of new Set([...recorded.keys(), ...there])) {
      const bytes = there.includes(path) ? await readFile(path) : undefined;
      if (bytes === undefined || recorded.get(path)?.equals(bytes) !== true)
        throw new Error(
          `${path.slice(this.root.length)} is not as it was recorded: something is written past the harness`,
        );
    }
  }
}

async function filesBelow(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => !unwatched.some((folder) => path.startsWith(join(root, folder) + sep)));
}
