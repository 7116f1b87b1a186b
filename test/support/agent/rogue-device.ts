/**
 * A built agent that serves two modules: one that minds its business, and one that does on request what no
 * module should. The cloud is a fake one in this process.
 */
import { execFileSync } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ownPort } from '#test/support/own-port.js';
import { Daemon, type Environment } from '#cloud/quickstart/program.js';
import { AppError, type Problem } from '#shared/kernel/errors.js';
import type { DesiredModule } from '#shared/protocol/desired.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import { askAgent } from '#agent/local/local-client.js';
import { stateFolder } from '#agent/store/state-folder.js';
import { buildModule, enrolledFolder, removeFolder } from '#test/support/agent/agent-harness.js';
import { FakeCloud, until } from '#test/support/agent/fake-cloud.js';
import { childrenOf } from '#test/support/child-processes.js';
import { digitsFolder, repository } from '#test/support/scoring-harness.js';

export interface RogueOptions {
  readonly env?: Environment;
  readonly prefix?: readonly string[];
  readonly user?: number;
}

export interface Outcome {
  readonly done?: unknown;
  readonly refused?: string;
  /** Where there was no answer of the module's. */
  readonly status?: number;
}

export class RogueDevice {
  private generation = 0;

  private constructor(
    readonly cloud: FakeCloud,
    readonly root: string,
    readonly port: number,
    readonly agent: Daemon,
    private readonly modules: Readonly<Record<'digits' | 'rogue', DesiredModule>>,
    private readonly digit: string,
  ) {}

  /**
   * @param options.env settings of the agent
   * @param options.prefix words before its command line; it runs as `user` where that is given
   */
  static async start({ env = {}, prefix = [], user }: RogueOptions = {}): Promise<RogueDevice> {
    const cloud = await FakeCloud.start();
    const root = await enrolledFolder(cloud);
    const layout = join(root, '..', `${root.split('/').at(-1) ?? ''}-layout`);
    cloud.layouts.push(layout);
    const common = { layout, publisher: cloud.publisher };
    const digits = await buildModule({ moduleFolder: digitsFolder, ...common });
    const rogue = await buildModule({ moduleFolder: await rogueFolder(layout), ...common });
    const port = await ownPort();
    if (user !== undefined) execFileSync('chown', ['-R', `${String(user)}:${String(user)}`, root]);
    const id = user === undefined ? [] : ['--reuid', String(user), '--regid', String(user), '--clear-groups'];
    const agent = new Daemon({
      build: join(repository, 'dist'),
      name: 'flotilla-agent',
      args: ['run'],
      prefix: [...prefix, ...(id.length === 0 ? [] : ['setpriv', ...id, '--'])],
      env: {
        HOME: root,
        FLOTILLA_AGENT_STATE_DIR: root,
        FLOTILLA_AGENT_SCORING_PORT: String(port),
        FLOTILLA_AGENT_TELEMETRY_INTERVAL_SECONDS: '1',
        THE_AGENTS_OWN_SECRET: 'not for modules',
        ...env,
      },
    });
    const digit = await readFile(join(digitsFolder, 'fixtures/digit.json'), 'utf8');
    const modules = { digits: digits.module, rogue: rogue.module };
    return new RogueDevice(cloud, root, port, agent, modules, digit);
  }

  /** The rogue's next version, with more in its manifest. */
  async version(version: number, manifest: string): Promise<Partial<DesiredModule>> {
    const [layout = ''] = this.cloud.layouts;
    const moduleFolder = await rogueFolder(layout);
    const path = join(moduleFolder, 'module.yaml');
    await writeFile(path, `${await readFile(path, 'utf8')}${manifest}\n`);
    const { module } = await buildModule({ moduleFolder, layout, version, publisher: this.cloud.publisher });
    return { image: module.image };
  }

  /** Resolves to the reason with which the device rejects it. */
  async rejected(change: Partial<DesiredModule>): Promise<Problem> {
    this.publish(change);
    let reason: Problem | undefined;
    await until(
      'rejected',
      () => {
        const { candidate } = this.cloud.state.modules['rogue'] ?? {};
        if (candidate?.state === 'rejected' && candidate.digest === change.image?.digest)
          reason = candidate.reason as Problem;
        return reason !== undefined;
      },
      60_000,
    );
    if (reason === undefined) throw new Error('rejected without a reason');
    return reason;
  }

  private publish(change: Partial<DesiredModule>): void {
    this.generation += 1;
    const modules = { ...this.modules, rogue: { ...this.modules.rogue, ...change } };
    this.cloud.publishDesired(this.cloud.desiredOf(this.generation, modules));
  }

  /** @param change of the rogue's entry, for example its restart policy */
  async deploy(change: Partial<DesiredModule> = {}): Promise<void> {
    this.publish(change);
    await until(
      'converged',
      () => this.cloud.state.converged && this.cloud.state.generation === this.generation,
      60_000,
    );
  }

  /** What came of an attempt. */
  async attempt(attempt: string, more: object = {}): Promise<Outcome> {
    const response = await fetch(`http://127.0.0.1:${String(this.port)}/score/rogue`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ attempt, ...more }),
    });
    const body = (await response.json()) as Outcome;
    return response.status === 200 ? body : { status: response.status };
  }

  /** Whether the module that minds its business answers. */
  async peaceful(): Promise<boolean> {
    const response = await fetch(`http://127.0.0.1:${String(this.port)}/v2/models/digits/infer`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: this.digit,
    });
    await response.arrayBuffer();
    return response.status === 200;
  }

  async rogueAnswers(): Promise<void> {
    await until(
      'the rogue answering again',
      async () => (await this.attempt('score').catch(() => undefined))?.done === 10,
      40_000,
    );
  }

  async roguePid(): Promise<number> {
    const [pid] = await childrenOf(this.agent.pid, 'script-host');
    if (pid === undefined) throw new Error('no script host runs');
    return pid;
  }

  async explain(): Promise<string> {
    return JSON.stringify(await askAgent(stateFolder(this.root).socket, '/explain').catch(asText));
  }

  async log(): Promise<string> {
    return readFile(join(stateFolder(this.root).logs, 'rogue.log'), 'utf8');
  }

  events(type: string): DeviceEvent[] {
    const batches = this.cloud.stored.events as unknown as { readonly events: readonly DeviceEvent[] }[];
    return batches.flatMap(({ events }) => events).filter((event) => event.type === type);
  }

  async close(): Promise<void> {
    await this.agent.stop();
    await this.cloud.close();
    for (const folder of [this.root, ...this.cloud.layouts.flatMap((layout) => [layout, `${layout}-rogue`])])
      await removeFolder(folder);
  }
}

async function rogueFolder(layout: string): Promise<string> {
  const folder = `${layout}-rogue`;
  await cp(join(repository, 'test/fixtures/modules/rogue'), folder, { recursive: true });
  await cp(join(digitsFolder, 'model.onnx'), join(folder, 'digits.onnx'));
  return folder;
}

function asText(error: unknown): string {
  if (error instanceof AppError) return error.message;
  throw error;
}
