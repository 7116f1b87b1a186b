/**
 * Replicas as containers of Docker Engine or podman: each an image of its own, without network, on a read-only root file
 * system, and reached by a Unix socket. What a replica does in there is what it does as a process (`../replica/main.ts`).
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '#shared/kernel/clock.js';
import { AppError, messageOf, type Problem } from '#shared/kernel/errors.js';
import type { SandboxCapabilities } from '#shared/protocol/sandbox.js';
import type { SandboxPolicy } from '#shared/supervisor/sandbox/plan-sandbox.js';
import { hasScript } from '#shared/supervisor/served-module.js';
import { failureOf, givenUp } from '../host/replica-hosts.js';
import type { ReplicaOrder, ReplicaRuntime, RunningReplica } from '../host/replica-runtime.js';
import type { BaseChoice } from './base-image.js';
import { containerEnd } from './container-end.js';
import { followLogs, type FollowedLogs } from './container-logs.js';
import { containerBody, type ContainerLimits } from './container-options.js';
import { paths } from './core-layer.js';
import { capabilitiesOf, refuseUnbounded } from './container-bounds.js';
import { Engine, type EngineAbout } from './engine.js';
import { ReplicaDoor } from './replica-door.js';
import { ReplicaImages } from './replica-images.js';

export interface ContainerRuntimePorts {
  readonly socket: string;
  readonly base: BaseChoice;
  readonly limits: ContainerLimits;
  /** What user code may be granted; of the network none is. */
  readonly policy: SandboxPolicy;
  /** The same after a restart, and no other service host's at this engine: what is ours there is known by it. */
  readonly owner: string;
  /** Private, and with a short path; the engine must see it by the same path. */
  readonly folder: string;
  readonly version: string;
  readonly maxBodyBytes: number;
  readonly drainMs: number;
}

const ownerLabel = 'flotilla.service-host';
/** Beyond the time of a drain, until it is ended by force. */
const endGraceMs = 2000;
const logGraceMs = 500;

export class ContainerRuntime implements ReplicaRuntime {
  private readonly engine: Engine;
  private readonly images: ReplicaImages;
  private clearing: Promise<void> | undefined;

  constructor(private readonly ports: ContainerRuntimePorts) {
    const { socket, base, folder, version, owner } = ports;
    this.engine = new Engine(socket);
    const images = { engine: this.engine, base, version, owner };
    this.images = new ReplicaImages({ ...images, folder: join(folder, 'work') });
  }

  /** What keeps user code in its bounds. */
  get capabilities(): SandboxCapabilities {
    return capabilitiesOf(this.ports.limits);
  }

  /** Where the engine is away what was left ends by itself, and is removed before the first start. */
  async clear(): Promise<void> {
    await rm(this.ports.folder, { recursive: true, force: true });
    await mkdir(this.ports.folder, { recursive: true, mode: 0o700 });
    await this.cleared().catch((error: unknown) => {
      if (!(error instanceof AppError)) throw error;
    });
  }

  async collect(keep: readonly string[]): Promise<void> {
    await this.images.collect(keep);
  }

  async start(order: ReplicaOrder): Promise<RunningReplica> {
    const { id, image, spec, onLog, signal } = order;
    const about = await this.engine.about();
    await this.cleared();
    if (hasScript(image)) refuseUnbounded(image.manifest, this.ports.policy, this.capabilities);
    const made = await orGivenUp(this.images.of(spec.image, image.folder, onLog), signal);
    const door = await ReplicaDoor.open(join(this.ports.folder, id));
    let container: string | undefined;
    try {
      container = await this.create(id, made, door.folder, order);
      return await this.launch(container, door, about, order);
    } catch (error) {
      await door.close();
      if (container !== undefined) await this.remove(container, onLog);
      throw signal.aborted ? givenUp() : error;
    }
  }

  private cleared(): Promise<void> {
    this.clearing ??= this.removeLeft().catch((error: unknown) => {
      this.clearing = undefined;
      throw error;
    });
    return this.clearing;
  }

  private async removeLeft(): Promise<void> {
    const { owner } = this.ports;
    for (const { Id } of await this.engine.containers(`${ownerLabel}=${owner}`)) await this.engine.remove(Id);
  }

  private async create(id: string, image: string, folder: string, { spec, onLog }: ReplicaOrder): Promise<string> {
    const { owner, limits } = this.ports;
    const labels = { [ownerLabel]: owner, 'flotilla.replica': id, 'flotilla.deployment': spec.name };
    const body = containerBody({ image, folder, labels, limits });
    const created = await this.engine.create(`flotilla-${owner}-${id}`, body);
    for (const warning of created.Warnings) onLog(`the container engine warns: ${warning}`);
    return created.Id;
  }

  private async launch(
    container: string,
    door: ReplicaDoor,
    about: EngineAbout,
    order: ReplicaOrder,
  ): Promise<RunningReplica> {
    const { id, spec, labels, onLog, signal } = order;
    const { name, version, digest } = spec.image;
    const { maxBodyBytes, drainMs } = this.ports;
    await this.engine.start(container);
    const logs = new AbortController();
    const output = followLogs(this.engine.logs(container, logs.signal), onLog);
    const ended = async (told: Problem | undefined): Promise<Problem> => {
      const problem = await this.causeOf(container, told, output);
      await door.close();
      await this.remove(container, onLog);
      logs.abort();
      return problem;
    };
    const module = { name, version, digest, folder: paths.module };
    const started = new AbortController();
    try {
      // Until it holds the link, the engine alone knows whether it lives.
      const dead = this.engine.wait(container, started.signal).then(() => (door.taken ? door.closed : undefined));
      const over = Promise.race([dead, door.closed]).then((told) => ({ told }));
      over.catch(() => undefined);
      const reach = async (step: Promise<void>): Promise<void> => {
        const early = await orGivenUp(Promise.race([step, over]), signal);
        if (early !== undefined) throw failureOf(await ended(early.told));
      };
      await reach(door.bound);
      door.begin(
        { id, module, settings: spec.settings, labels: { ...labels }, maxBodyBytes, drainMs },
        order.collectFolder,
      );
      await reach(door.ready);
    } catch (error) {
      logs.abort();
      throw error;
    } finally {
      started.abort();
    }
    const exited = door.closed.then(ended);
    const kill = (): Promise<void> => this.force(container, door, onLog);
    return {
      address: { socketPath: door.socketPath },
      process: `container ${container.slice(0, 12)} (${about.name})`,
      exited,
      residentBytes: () => this.engine.residentBytes(container),
      takeMetrics: () => door.metrics({ type: 'metrics' }),
      drain: async (timeoutMs) => {
        const last = door.metrics({ type: 'drain', timeoutMs });
        const timer = setTimeout(() => void kill(), timeoutMs + endGraceMs);
        await exited;
        clearTimeout(timer);
        return last;
      },
      kill: async () => {
        await kill();
        await exited;
      },
    };
  }

  /** After its end, or nearly: what the engine saw, with what it told itself. */
  private async causeOf(container: string, told: Problem | undefined, output: FollowedLogs): Promise<Problem> {
    try {
      await this.engine
        .wait(container, AbortSignal.timeout(endGraceMs))
        .catch(() => this.engine.kill(container, 'SIGKILL'));
      const state = await this.engine.inspect(container);
      // What it wrote last may still be on its way.
      await Promise.race([output.ended, systemClock.sleep(logGraceMs)]);
      return containerEnd(state, told, output.lines(), this.ports.limits.memoryBytes);
    } catch (error) {
      return told ?? { code: 'process.failed', message: `its container has gone: ${messageOf(error)}` };
    }
  }

  private async force(container: string, door: ReplicaDoor, onLog: (line: string) => void): Promise<void> {
    try {
      await this.engine.kill(container, 'SIGKILL');
    } catch (error) {
      // It sees that nobody holds its link, and ends by itself.
      onLog(`its container cannot be ended by the engine: ${messageOf(error)}`);
      door.letGo();
    }
  }

  private async remove(container: string, onLog: (line: string) => void): Promise<void> {
    await this.engine.remove(container).catch((error: unknown) => {
      onLog(`its container ${container.slice(0, 12)} stays until the service host starts again: ${messageOf(error)}`);
    });
  }
}

/** Its result, unless the start is given up first; it goes on then, for nobody. */
async function orGivenUp<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let giveUp: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    giveUp = () => reject(givenUp());
    if (signal.aborted) giveUp();
    signal.addEventListener('abort', giveUp, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}
