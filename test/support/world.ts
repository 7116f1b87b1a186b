/**
 * A whole installation of built programs in a temporary folder: control plane, operator and agents, each
 * a process of its own on ports that the system picked. For end-to-end tests.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { askAgent } from '#agent/local/local-client.js';
import type { StatusView } from '#agent/local/explanation.js';
import { stateFolder } from '#agent/store/state-folder.js';
import { ownPort } from './own-port.js';
import { Daemon, type Environment, ProgramFailed, runProgram } from '#cloud/quickstart/program.js';
import { repository } from './repository.js';

export { repository };
const build = join(repository, 'dist');
/** The agent as it is installed: in few files, which start sooner. */
export const installedAgent = 'agent-bundle/flotilla-agent.js';

export interface WorldOptions {
  /** `external`: the control plane uses a broker on the broker port that the test starts. */
  readonly broker?: 'embedded' | 'external';
  /** Settings of every agent, above those of the world. */
  readonly agents?: Environment;
  /** More for every agent, asked for at each start. */
  readonly agentEnvironment?: () => Environment;
  /** More for the control plane, asked for at each start. */
  readonly cloud?: () => Environment;
  readonly brokerPort?: number;
  readonly gatewayPort?: number;
  /** How devices reach the broker, where it is not where it listens. */
  readonly brokerAdvertiseUrl?: string;
  /** What agents are started behind, for example a network namespace. */
  readonly agentPrefix?: readonly string[];
  /** The operator's commands run in the process of the test: for stories that are told hundreds of times. */
  readonly operatorInProcess?: boolean;
}

export class World {
  private readonly daemons = new Set<Daemon>();
  cloud: Daemon | undefined;
  ownerToken = '';

  private constructor(
    readonly folder: string,
    readonly ports: { readonly api: number; readonly gateway: number; readonly broker: number },
    private readonly options: WorldOptions,
  ) {}

  static async create(options: WorldOptions = {}): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), 'flotilla-world-'));
    const world = new World(
      folder,
      {
        api: await ownPort(),
        gateway: options.gatewayPort ?? (await ownPort()),
        broker: options.brokerPort ?? (await ownPort()),
      },
      options,
    );
    return world;
  }

  get url(): string {
    return `http://127.0.0.1:${String(this.ports.api)}`;
  }

  get dataDir(): string {
    return join(this.folder, 'cloud');
  }

  get operator(): Environment {
    return { FLOTILLA_HOME: join(this.folder, 'operator'), HOME: this.folder };
  }

  /** Starts the control plane, again after a stop or kill, and waits until it is ready. */
  async startCloud(): Promise<Daemon> {
    const flags = [
      ...['--data-dir', this.dataDir, '--http-port', String(this.ports.api), '--http-tls', 'off'],
      ...['--gateway-port', String(this.ports.gateway)],
      ...(this.options.broker === 'external'
        ? ['--broker-kind', 'external', '--broker-url', `mqtts://127.0.0.1:${String(this.ports.broker)}`]
        : ['--broker-port', String(this.ports.broker)]),
      ...(this.options.brokerAdvertiseUrl === undefined
        ? []
        : ['--broker-advertise-url', this.options.brokerAdvertiseUrl]),
    ];
    const cloud = this.start('flotilla', ['cloud', ...flags], { ...this.operator, ...this.options.cloud?.() });
    this.cloud = cloud;
    await cloud.until('ready', 30_000, async () => {
      const response = await fetch(`${this.url}/readyz`).catch(() => undefined);
      return response?.ok ? true : undefined;
    });
    if (this.ownerToken === '') {
      this.ownerToken = await cloud.until(
        'printing its owner token',
        5_000,
        () => /\bflt_[A-Za-z0-9_-]+/.exec(cloud.output)?.[0],
      );
    }
    return cloud;
  }

  /** Starts the control plane for the first time and signs the operator in. */
  async open(): Promise<void> {
    await this.startCloud();
    await this.flotilla('login', this.url, '--token', this.ownerToken);
  }

  /** Runs a `flotilla` command as the operator; rejects with its output when it fails. */
  async flotilla(...args: readonly string[]): Promise<string> {
    if (this.options.operatorInProcess !== true) {
      return runProgram({ build, name: 'flotilla', args, env: this.operator });
    }
    // Loaded by those who ask for it: it is the whole command line.
    const { CliHarness } = await import('./cli/cli-harness.js');
    const { exit, stdout, stderr } = await CliHarness.at(join(this.folder, 'operator')).run(args);
    if (exit !== 0) throw new ProgramFailed(`flotilla ${args.join(' ')}`, String(exit), (stderr + stdout).trim());
    return stdout;
  }

  async flotillaJson(...args: readonly string[]): Promise<unknown> {
    return JSON.parse(await this.flotilla(...args, '--output', 'json'));
  }

  agentEnvironment(name: string, port = 0): Environment {
    return {
      HOME: this.folder,
      FLOTILLA_AGENT_STATE_DIR: join(this.folder, name),
      FLOTILLA_AGENT_SCORING_PORT: String(port),
      FLOTILLA_AGENT_TELEMETRY_INTERVAL_SECONDS: '1',
      ...this.options.agents,
      ...this.options.agentEnvironment?.(),
    };
  }

  agentCommand(name: string, ...args: readonly string[]): Promise<string> {
    const prefix = this.options.agentPrefix ?? [];
    const env = this.agentEnvironment(name);
    return runProgram({ build, name: 'flotilla-agent', entry: installedAgent, args, env, prefix });
  }

  /** What the agent of this name says of itself at its socket; undefined while none answers. */
  async statusOf(name: string): Promise<StatusView | undefined> {
    const { FLOTILLA_AGENT_STATE_DIR: folder = '' } = this.agentEnvironment(name);
    return (await askAgent(stateFolder(folder).socket, '/status').catch(() => undefined)) as StatusView | undefined;
  }

  async enrol(name: string): Promise<void> {
    const { token } = (await this.flotillaJson('device', 'token', '--tag', 'site=lab')) as { token: string };
    await this.agentCommand(name, 'enroll', '--token', token, '--name', name);
  }

  async startAgent(name: string, port: number): Promise<Daemon> {
    const agent = this.start('flotilla-agent', ['run'], this.agentEnvironment(name, port), this.options.agentPrefix);
    await agent.until('answering', 30_000, async () => {
      return (await this.statusOf(name)) === undefined ? undefined : true;
    });
    return agent;
  }

  /** A daemon that ends with the world. */
  start(
    name: 'flotilla' | 'flotilla-agent',
    args: readonly string[],
    env: Environment,
    prefix: readonly string[] = [],
  ): Daemon {
    const entry = name === 'flotilla-agent' ? { entry: installedAgent } : {};
    const daemon = new Daemon({ build, name, ...entry, args, env, prefix });
    this.daemons.add(daemon);
    return daemon;
  }

  async stopAll(): Promise<void> {
    for (const daemon of [...this.daemons].reverse()) await daemon.stop();
  }

  async close(): Promise<void> {
    await this.stopAll();
    await rm(this.folder, { recursive: true, force: true });
  }
}
