/**
 * The program of a container that is a replica: it runs the processes that a service host would run itself, on the order
 * that comes over its link (`link.ts`). It ends with them, on SIGTERM, and when nobody holds the link's other end.
 */
import { chmodSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { AppError, type Problem, toProblem } from '#shared/kernel/errors.js';
import { decodeModuleManifest } from '#shared/package/read-manifest.js';
import { usableCores } from '#shared/platform/usable-cores.js';
import { findHostEntries } from '#shared/supervisor/host-entries.js';
import { bindSocket, type SocketHandle } from '#shared/supervisor/listen-handle.js';
import { metricsIn, metricsOf, type ReplicaHosts, startHosts } from '../host/replica-hosts.js';
import { CollectRelay } from './collect-relay.js';
import {
  linkFolder,
  linkSocket,
  readMessages,
  scoreSocket,
  sendMessage,
  type StartOrder,
  type ToReplica,
  toReplicaSchema,
} from './link.js';
import { memoryKills } from './memory-kills.js';

/** How long what is under way may take once the service host is gone. */
const orphanGraceMs = 5000;
/** In memory, the replica's own. */
const workFolder = '/tmp/flotilla';
const collectFolder = join(workFolder, 'collect');

class ReplicaProgram {
  private hosts: Promise<ReplicaHosts> | undefined;
  private readonly ending = new AbortController();
  private drainMs = orphanGraceMs;
  private readonly relay: CollectRelay;

  constructor(
    private readonly link: Socket,
    private readonly bound: SocketHandle,
  ) {
    this.relay = new CollectRelay(collectFolder, (file, lines) => sendMessage(link, { type: 'piece', file, lines }));
  }

  private async start(order: StartOrder): Promise<void> {
    if (this.hosts !== undefined) return;
    this.drainMs = order.drainMs;
    this.hosts = this.startHosts(order);
    try {
      const { set, ended } = await this.hosts;
      await set.listen({ http: { port: 0, handle: this.bound.handle, close: () => this.bound.close() } });
      // The scoring host alone holds it now: when that dies, who connects is refused at once.
      this.bound.close();
      void ended.then(async (problem) => this.over(await withMemory(problem)));
      sendMessage(this.link, { type: 'ready' });
    } catch (error) {
      if (!(error instanceof AppError)) console.error(error);
      this.over(await withMemory(toProblem(error)));
    }
  }

  /** Answers what is under way, and ends. */
  async drain(timeoutMs: number): Promise<void> {
    if (this.ending.signal.aborted) return;
    this.ending.abort();
    const set = (await this.hosts?.catch(() => undefined))?.set;
    const last = await set?.drain(timeoutMs, new Set());
    await this.relay.close();
    sendMessage(this.link, { type: 'metrics', metrics: last && metricsIn(last) });
    this.link.end(() => process.exit(0));
  }

  obey(message: ToReplica): Promise<void> | void {
    switch (message.type) {
      case 'start':
        return this.start(message.order);
      case 'metrics':
        return this.tellMetrics();
      case 'rules':
        return this.relay.setRules(message.rules);
      case 'taken':
        return this.relay.taken(message.file);
      case 'drain':
        return this.drain(message.timeoutMs);
    }
  }

  private async tellMetrics(): Promise<void> {
    const set = (await this.hosts)?.set;
    sendMessage(this.link, { type: 'metrics', metrics: set && (await metricsOf(set)) });
  }

  get usualDrainMs(): number {
    return this.drainMs;
  }

  private async startHosts({ id, module, settings, labels, maxBodyBytes }: StartOrder): Promise<ReplicaHosts> {
    await mkdir(workFolder, { recursive: true, mode: 0o700 });
    await this.relay.open();
    const path = join(module.folder, 'module.yaml');
    const manifest = decodeModuleManifest(await readFile(path), path);
    let last = 0;
    return startHosts(
      {
        ...{ id, settings, labels, module: { ...module, manifest }, signal: this.ending.signal },
        collectFolder,
        onLog: (line) => process.stdout.write(`${line}\n`),
      },
      {
        // Below it in the image, in the build above this file.
        entries: findHostEntries(new URL('../../main.js', import.meta.url).href),
        ...{ folder: workFolder, cores: usableCores(), maxBodyBytes },
        nextId: () => (last += 1),
      },
    );
  }

  private over(problem: Problem): void {
    if (this.ending.signal.aborted) return;
    this.ending.abort();
    sendMessage(this.link, { type: 'over', problem: { ...problem, message: problem.message.slice(0, 16_000) } });
    // Once it is written.
    this.link.end(() => process.exit(1));
  }
}

/** Its processes see that they were killed, and not by whom. */
async function withMemory(problem: Problem): Promise<Problem> {
  return (await memoryKills()) === 0
    ? problem
    : { ...problem, message: `its container ran out of memory; ${problem.message}` };
}

function run(): void {
  process.umask(0o077);
  const path = join(linkFolder, scoreSocket);
  const bound = bindSocket(path);
  // In a folder that only the service host's user can enter; that is another user than here.
  chmodSync(path, 0o666);
  const link = connect(join(linkFolder, linkSocket));
  const program = new ReplicaProgram(link, bound);
  const fail = (error: unknown): void => {
    console.error(error);
    process.exit(70);
  };
  readMessages(link, toReplicaSchema, (message) => void Promise.resolve(program.obey(message)).catch(fail));
  link.on('connect', () => sendMessage(link, { type: 'bound' }));
  link.on('error', (error) => console.error(`the link to the service host: ${error.message}`));
  link.on('close', () => void program.drain(orphanGraceMs).catch(fail));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => void program.drain(program.usualDrainMs).catch(fail));
  }
}

run();
