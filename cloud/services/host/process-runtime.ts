/**
 * Replicas as child processes: a scoring host each, with the script host of its module, as on devices. Each listens on
 * a Unix socket of its own, which no one else holds: when the process dies, who connects is refused at once.
 */
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, type Problem } from '#shared/kernel/errors.js';
import { residentBytes } from '#shared/platform/resident-memory.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';
import { causeText } from '#shared/supervisor/exit-cause.js';
import type { HostEntries } from '#shared/supervisor/host-entries.js';
import { HostSet } from '#shared/supervisor/host-set.js';
import { bindSocket } from '#shared/supervisor/listen-handle.js';
import { moduleMetricsOf } from '#shared/supervisor/module-metrics.js';
import type { MachineSandbox } from '#shared/supervisor/sandbox/machine-sandbox.js';
import type { HostStats } from '#shared/supervisor/scoring-host-process.js';
import { hasScript } from '#shared/supervisor/served-module.js';
import type { ReplicaOrder, ReplicaRuntime, RunningReplica } from './replica-runtime.js';

export interface ProcessRuntimePorts {
  readonly entries: Pick<HostEntries, 'scoringHost' | 'scriptHost'>;
  readonly sandbox: Pick<MachineSandbox, 'ready' | 'tried' | 'confineHost'>;
  /** For sockets: private, and with a short path. */
  readonly folder: string;
  readonly cores: number;
  readonly maxBodyBytes: number;
}

export class ProcessRuntime implements ReplicaRuntime {
  private last = 0;

  constructor(private readonly ports: ProcessRuntimePorts) {}

  async clear(): Promise<void> {
    await rm(this.ports.folder, { recursive: true, force: true });
    await mkdir(this.ports.folder, { recursive: true, mode: 0o700 });
  }

  async start(order: ReplicaOrder): Promise<RunningReplica> {
    const { name, version, digest } = order.spec.image;
    const { manifest, folder } = order.image;
    if (hasScript({ manifest })) await this.ports.sandbox.ready();
    if (order.signal.aborted) throw givenUp();
    const set = this.spawn(order, { name, version, digest, folder, manifest });
    const giveUp = (): void => void set.kill(new Set());
    order.signal.addEventListener('abort', giveUp, { once: true });
    order.onLog(`process ${String(set.pid)} starts with ${name}:${String(version)}`);
    try {
      const loaded = await set.load({
        ...{ labels: order.labels, maxBodyBytes: this.ports.maxBodyBytes, collectFolder: order.collectFolder },
      });
      if (!loaded.ok) throw failureOf(loaded.error.problem);
      for (const model of set.loaded.flatMap(({ models }) => models)) {
        order.onLog(`model ${model.name} is loaded, and runs on ${model.provider}`);
      }
      if (manifest.golden !== undefined) {
        const proved = await set.prove(name);
        if (!proved.ok) throw failureOf(proved.error);
        order.onLog(`answers agree with ${String(proved.value.vectors)} golden vectors`);
      }
      const socket = join(this.ports.folder, `${order.id}.sock`);
      await listenAlone(set, socket);
      return runningOf(set, socket);
    } catch (error) {
      await set.kill(new Set());
      throw order.signal.aborted ? givenUp() : error;
    } finally {
      order.signal.removeEventListener('abort', giveUp);
    }
  }

  private nextId(): number {
    this.last += 1;
    return this.last;
  }

  private spawn(
    { id, spec, onLog }: ReplicaOrder,
    module: Pick<HostSet['modules'][number], 'name' | 'version' | 'digest' | 'folder' | 'manifest'>,
  ): HostSet {
    const { ports } = this;
    const tried = hasScript(module) ? ports.sandbox.tried : undefined;
    const set: HostSet = new HostSet([{ ...module, id, settings: spec.settings }], new Map(), {
      entry: ports.entries.scriptHost,
      hostEntry: ports.entries.scoringHost,
      cores: ports.cores,
      confineHost: () => ports.sandbox.confineHost(),
      // Asked for where there is user code, which is refused or bounded, never neither.
      runFolder: tried?.runFolder ?? ports.folder,
      sandbox: tried?.sandbox,
      maxBodyBytes: ports.maxBodyBytes,
      nextId: () => this.nextId(),
      onLog: (_module, line) => onLog(line),
      onHostLog: (_modules, line) => onLog(line),
      // A replica is one thing: without its script it answers nobody, so it ends, and is started again whole.
      onExit: (_runner, cause) => {
        onLog(`its script ended: ${causeText(cause)}`);
        void set.kill(new Set());
      },
    });
    return set;
  }
}

function runningOf(set: HostSet, socketPath: string): RunningReplica {
  const exited = set.exited.then(async (cause): Promise<Problem> => {
    await rm(socketPath, { force: true });
    // Whatever is left of it, its script too.
    await set.kill(new Set());
    return { code: 'process.failed', message: `its process ended: ${causeText(cause)}` };
  });
  return {
    address: { socketPath },
    process: `process ${String(set.pid)}`,
    exited,
    residentBytes: async () => {
      const pids = [set.pid, ...[...set.scripts.values()].map(({ pid }) => pid)];
      const sizes = await Promise.all(pids.map(residentBytes));
      return sizes[0] === undefined ? undefined : sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
    },
    takeMetrics: async () => {
      try {
        return metricsIn((await set.stats()).modules);
      } catch (error) {
        if (error instanceof AppError) return undefined;
        throw error;
      }
    },
    drain: async (timeoutMs) => {
      const last = await set.drain(timeoutMs, new Set());
      await exited;
      return metricsIn(last);
    },
    kill: async () => {
      await set.kill(new Set());
      await exited;
    },
  };
}

/** A replica is a module: it has counts of no other. */
function metricsIn([first]: HostStats['modules']): ModuleMetrics | undefined {
  return first && moduleMetricsOf(first);
}

/** The socket is renamed before our own hold of it is closed, which removes the path that it was bound by. */
async function listenAlone(set: HostSet, path: string): Promise<void> {
  const bound = bindSocket(`${path}.new`);
  try {
    await set.listen({ http: { port: 0, handle: bound.handle, close: () => bound.close() } });
    await rename(`${path}.new`, path);
  } finally {
    bound.close();
  }
}

function failureOf({ code, message, details }: Problem): AppError {
  return new AppError(code, message, { details: details ?? {} });
}

function givenUp(): AppError {
  return new AppError('request.aborted', 'its start was given up');
}
