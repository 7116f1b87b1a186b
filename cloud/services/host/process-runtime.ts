/**
 * Replicas as child processes: a scoring host each, with the script host of its module, as on devices. Each listens on
 * a Unix socket of its own, which no one else holds: when the process dies, who connects is refused at once.
 */
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Problem } from '#shared/kernel/errors.js';
import { residentBytes } from '#shared/platform/resident-memory.js';
import type { HostSet } from '#shared/supervisor/host-set.js';
import { bindSocket } from '#shared/supervisor/listen-handle.js';
import type { MachineSandbox } from '#shared/supervisor/sandbox/machine-sandbox.js';
import { hasScript } from '#shared/supervisor/served-module.js';
import {
  givenUp,
  metricsIn,
  metricsOf,
  type ReplicaHosts,
  type ReplicaHostsPorts,
  startHosts,
} from './replica-hosts.js';
import type { ReplicaOrder, ReplicaRuntime, RunningReplica } from './replica-runtime.js';

export interface ProcessRuntimePorts extends Omit<ReplicaHostsPorts, 'nextId' | 'bounds'> {
  readonly sandbox: Pick<MachineSandbox, 'ready' | 'tried' | 'confineHost'>;
}

export class ProcessRuntime implements ReplicaRuntime {
  private last = 0;

  constructor(private readonly ports: ProcessRuntimePorts) {}

  async clear(): Promise<void> {
    await rm(this.ports.folder, { recursive: true, force: true });
    await mkdir(this.ports.folder, { recursive: true, mode: 0o700 });
  }

  async collect(): Promise<void> {
    // A process needs nothing but its module's folder.
  }

  async start({ id, image, spec, labels, collectFolder, onLog, signal }: ReplicaOrder): Promise<RunningReplica> {
    const { name, version, digest } = spec.image;
    const module = { ...image, name, version, digest };
    const { sandbox } = this.ports;
    if (hasScript(module)) await sandbox.ready();
    const order = { ...{ id, module, labels, collectFolder, onLog, signal }, settings: spec.settings };
    // Asked for where there is user code, which is refused or bounded, never neither.
    const tried = hasScript(module) ? sandbox.tried : undefined;
    const hosts = await startHosts(order, {
      ...this.ports,
      bounds: { host: () => sandbox.confineHost(), code: tried },
      nextId: () => this.nextId(),
    });
    try {
      const socket = join(this.ports.folder, `${id}.sock`);
      await listenAlone(hosts.set, socket);
      return runningOf(hosts, socket);
    } catch (error) {
      await hosts.set.kill(new Set());
      throw signal.aborted ? givenUp() : error;
    }
  }

  private nextId(): number {
    this.last += 1;
    return this.last;
  }
}

function runningOf({ set, ended }: ReplicaHosts, socketPath: string): RunningReplica {
  const exited = ended.then(async (problem): Promise<Problem> => {
    await rm(socketPath, { force: true });
    // Whatever is left of it, its script too.
    await set.kill(new Set());
    return problem;
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
    takeMetrics: () => metricsOf(set),
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
