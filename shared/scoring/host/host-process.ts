/**
 * What a scoring host does on its owner's words. States: empty -> loaded -> listening -> draining -> gone;
 * listening -> paused -> listening, for the host of the version before while its successor is on probation.
 * The process ends only when no worker is busy; where that cannot be waited for, by SIGKILL, which unlike
 * an ordinary exit does not run into onnxruntime's abort.
 */
import type { Server } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { AppError, messageOf, toProblem } from '#shared/kernel/errors.js';
import type { NewId } from '#shared/kernel/ids.js';
import { errno } from '#shared/platform/atomic-file.js';
import type { Logger } from '#shared/platform/logger.js';
import type { FromScoringHost, HostConfig, ToScoringHost } from '../host-protocol.js';
import type { HostTraffic } from '../traffic/traffic-schema.js';
import { AccessGate } from '../access/access-gate.js';
import { type HostAccess, loopbackAccess } from '../access/host-access.js';
import { listenPrivately, type PrivateSocket } from '../private-socket.js';
import { ConnectionDrain } from '../connection-drain.js';
import { createCopiesServer } from './copies-server.js';
import { proveGolden } from './golden.js';
import { createModelsServer } from './models-server.js';
import type { GrpcFront } from '../grpc/grpc-front.js';
import { createScoringApp } from './scoring-app.js';
import { ScoringHost, type ScoringHostDeps } from './scoring-host.js';

export interface HostProcessDeps extends ScoringHostDeps {
  readonly log: Logger;
  readonly newId: NewId;
  /** Resolves when the owner has the message, or is gone. */
  readonly send: (message: FromScoringHost) => Promise<void>;
  readonly exit: (code: number) => void;
}

/** The face on the port. One that has begun to end does not come back: after a pause there is another. */
interface Front {
  readonly app: FastifyInstance;
  readonly drain: ConnectionDrain;
}

interface ModelsDoor {
  readonly drain: ConnectionDrain;
  readonly socket: PrivateSocket;
}

interface Serving {
  readonly host: ScoringHost;
  readonly gate: AccessGate;
  front: Front;
  grpc?: GrpcFront | undefined;
  readonly models: readonly ModelsDoor[];
}

export class HostProcess {
  private serving: Serving | undefined;
  /** Apart from what is being loaded, since it may change meanwhile. */
  private gate: AccessGate | undefined;
  private loading: Promise<void> = Promise.resolve();
  /** Until the connections from before a pause are gone. */
  private pausing: Promise<unknown> = Promise.resolve();
  private ending = false;

  constructor(private readonly deps: HostProcessDeps) {}

  async handle(message: ToScoringHost, handle: unknown): Promise<void> {
    switch (message.type) {
      case 'load':
        this.loading = this.load(message.config);
        return this.loading;
      case 'prove':
        return this.prove(message.module, message.version);
      case 'listen':
        return this.listen(handle);
      case 'listen-grpc':
        return this.listenGrpc(handle);
      case 'pause':
        return this.pause();
      case 'drain':
        return this.drain();
      case 'stats':
        return this.deps.send(this.stats());
      case 'ping':
        return this.deps.send({ type: 'pong' });
      case 'access':
        return this.setAccess(message.access);
      case 'labels':
        this.serving?.host.label(message.labels);
        return;
      case 'traffic':
        return this.deps.send(this.setTraffic(message.traffic));
    }
  }

  /** Nobody will replace or end this process any more: free the port at once, and go. */
  async ownerGone(graceMs: number): Promise<void> {
    if (this.ending) return;
    this.ending = true;
    this.serving?.front.drain.begin();
    this.serving?.grpc?.begin();
    const timer = setTimeout(() => process.kill(process.pid, 'SIGKILL'), graceMs);
    await this.close(0);
    clearTimeout(timer);
    // Nobody reads an exit code, and a worker may be in the middle of a load.
    process.kill(process.pid, 'SIGKILL');
  }

  private async load(config: HostConfig): Promise<void> {
    if (this.gate) throw new Error('a host loads once');
    const gate = new AccessGate(config.access ?? loopbackAccess, config.controlToken);
    this.gate = gate;
    const { host, loaded: loading } = ScoringHost.begin(config, this.deps);
    // Made while workers load; it answers nobody before it listens.
    const [front, loaded] = await Promise.all([this.createFront(host, gate), loading]);
    if (!loaded.ok) {
      await this.deps.send({ type: 'load-failed', ...loaded.error });
      return;
    }
    const models = await serveModels(host);
    this.serving = { host, gate, front, models };
    await this.deps.send({ type: 'loaded', modules: host.all.map((module) => module.describe()) });
  }

  private async createFront(host: ScoringHost, gate: AccessGate): Promise<Front> {
    const app = await createScoringApp({ host, gate, log: this.deps.log, newId: this.deps.newId });
    return { app, drain: new ConnectionDrain(app.server) };
  }

  private async prove(name: string, version: number | undefined): Promise<void> {
    try {
      const all = this.serving?.host.versions(name) ?? [];
      const versions = all.filter((one) => version === undefined || one.module.version === version);
      if (versions.length === 0) throw new AppError('module.not-found', `no module "${name}" is loaded`);
      let vectors = 0;
      let slowestMs: number | undefined;
      let memoryBytes = 0;
      for (const one of versions) {
        const before = process.memoryUsage.rss();
        const proved = await proveGolden(one, this.deps.clock);
        vectors += proved.vectors;
        if (proved.slowestMs !== undefined) slowestMs = Math.max(slowestMs ?? 0, proved.slowestMs);
        memoryBytes += one.loadedBytes + Math.max(0, process.memoryUsage.rss() - before);
      }
      const slowest = slowestMs === undefined ? {} : { slowestMs };
      await this.deps.send({ type: 'proved', module: name, version, vectors, memoryBytes, ...slowest });
    } catch (error) {
      if (!(error instanceof AppError)) this.deps.log.error({ err: error }, 'proving failed by a bug of ours');
      await this.deps.send({ type: 'proved', module: name, version, vectors: 0, problem: toProblem(error) });
    }
  }

  private async listen(handle: unknown): Promise<void> {
    if (!this.serving) throw new Error('a host listens once it has loaded');
    const { serving } = this;
    serving.host.forgetObserved();
    if (serving.front.drain.begun) serving.front = await this.createFront(serving.host, serving.gate);
    await this.tellListening('listening', listenOn(serving.front.app.server, handle));
  }

  private async listenGrpc(handle: unknown): Promise<void> {
    if (!this.serving) throw new Error('a host listens once it has loaded');
    const { GrpcFront } = await import('../grpc/grpc-front.js');
    const { host, gate } = this.serving;
    const grpc = new GrpcFront({ host, gate, log: this.deps.log, newId: this.deps.newId });
    this.serving.grpc = grpc;
    await this.tellListening('listening-grpc', grpc.listen(handle));
  }

  private async tellListening(type: 'listening' | 'listening-grpc', listening: Promise<void>): Promise<void> {
    try {
      await listening;
    } catch (error) {
      const taken = errno(error) === 'EADDRINUSE' ? 'another process listens there' : messageOf(error);
      const problem = { code: 'port.taken', message: `cannot listen on the port that was bound: ${taken}` } as const;
      await this.deps.send({ type: 'listen-failed', problem });
      return;
    }
    await this.deps.send({ type });
  }

  /** What is connected is answered to its end; meanwhile, or later, `listen` may come with the handle again. */
  private async pause(): Promise<void> {
    const { serving } = this;
    if (serving !== undefined) {
      const { front, grpc } = serving;
      serving.grpc = undefined;
      this.pausing = Promise.all([this.pausing, front.drain.finish(), grpc?.finish()]);
      await this.pausing;
    }
    await this.deps.send({ ...this.stats(), type: 'paused' });
  }

  private async drain(): Promise<void> {
    if (this.ending) return;
    this.ending = true;
    await this.loading;
    this.serving?.front.drain.begin();
    await this.pausing;
    await this.close(undefined);
    await this.deps.send(this.stats());
    this.deps.exit(0);
  }

  /** Connections first, then what they needed. */
  private async close(idleMs: number | undefined): Promise<void> {
    if (!this.serving) return;
    const { front, grpc, models, host } = this.serving;
    await Promise.all([front.drain.finish(idleMs), grpc?.finish(idleMs)]);
    for (const { socket } of models) socket.remove();
    await Promise.all(models.map(({ drain }) => drain.finish(0)));
    await host.close();
  }

  private async setAccess(access: HostAccess): Promise<void> {
    this.gate?.replace(access);
    this.serving?.grpc?.judgeAgain();
    await this.deps.send({ type: 'access-set' });
  }

  private setTraffic(traffic: HostTraffic): FromScoringHost {
    try {
      if (!this.serving) throw new AppError('config.invalid', 'traffic is set once the host has loaded its modules');
      this.serving.host.traffic.set(traffic);
      return { type: 'traffic-set' };
    } catch (error) {
      return { type: 'traffic-set', problem: toProblem(error) };
    }
  }

  private stats(): Extract<FromScoringHost, { type: 'stats' }> {
    return { type: 'stats', modules: this.serving?.host.takeStats() ?? [], rssBytes: process.memoryUsage.rss() };
  }
}

async function serveModels(host: ScoringHost): Promise<ModelsDoor[]> {
  const doors: ModelsDoor[] = [];
  for (const { module } of host.all) {
    const { modelsSocket, copiesSocket } = module;
    const open = async (server: Server, path: string): Promise<void> => {
      doors.push({ drain: new ConnectionDrain(server), socket: await listenPrivately(server, path) });
    };
    if (modelsSocket !== undefined) await open(createModelsServer(host, module), modelsSocket);
    if (copiesSocket !== undefined) await open(createCopiesServer(host, module), copiesSocket);
  }
  return doors;
}

function listenOn(server: Server, handle: unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(handle, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
