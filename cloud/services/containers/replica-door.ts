/**
 * The folder that a container shares with its service host, and the link that goes through it. The container may write
 * there only until its score socket is bound, when none of a module's code has run yet. Then the socket is taken out, to
 * where nobody else can put another in its place, and the folder is closed.
 */
import { EventEmitter, once } from 'node:events';
import { chmod, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { AppError, type Problem } from '#shared/kernel/errors.js';
import { followRules, takePiece } from './collect-intake.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';
import {
  fromReplicaSchema,
  linkSocket,
  readMessages,
  scoreSocket,
  sendMessage,
  type StartOrder,
  type ToReplica,
} from '../replica/link.js';

export class ReplicaDoor {
  /** Where it is asked to score, once it is bound. */
  readonly socketPath: string;
  /** Resolves when the container is there, and waits for its order. Rejects when what it made is no socket. */
  readonly bound: Promise<void>;
  /** Resolves when it answers. */
  readonly ready: Promise<void>;
  /** Resolves when the other end has gone, with the reason if it told one. */
  readonly closed: Promise<Problem | undefined>;
  private readonly told = new EventEmitter();
  private link: Socket | undefined;
  private collectFolder: string | undefined;

  private constructor(
    readonly folder: string,
    private readonly server: Server,
  ) {
    this.socketPath = `${folder}.sock`;
    const link = new Promise<Socket>((resolve) => server.once('connection', resolve));
    // It is for one.
    server.once('connection', () => server.close());
    let problem: Problem | undefined;
    const { told } = this;
    this.bound = once(told, 'bound').then(() => this.takeSocket());
    this.bound.catch(() => undefined);
    this.ready = once(told, 'ready').then(() => undefined);
    server.once('connection', (socket: Socket) => {
      this.link = socket;
      socket.on('error', () => undefined);
      readMessages(socket, fromReplicaSchema, (message) => {
        if (message.type === 'over') problem = withoutUndefined(message.problem);
        else if (message.type === 'piece') void this.take(message.file, message.lines);
        else if (message.type === 'metrics') this.told.emit('metrics', message.metrics);
        else told.emit(message.type);
      });
    });
    this.closed = link.then((socket) => new Promise((closed) => socket.on('close', () => closed(problem))));
  }

  /** Somebody took the other end, whether or not it is still held. */
  get taken(): boolean {
    return this.link !== undefined;
  }

  /** @param folder is made; in a folder that is closed to others */
  static async open(folder: string): Promise<ReplicaDoor> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const server = createServer();
    const path = join(folder, linkSocket);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    const door = new ReplicaDoor(folder, server);
    // For the user of the container, which is none of this machine.
    await chmod(path, 0o666);
    await chmod(folder, 0o777);
    return door;
  }

  /** @param collectFolder where the rules stand, and what it collects goes */
  begin(order: StartOrder, collectFolder: string): void {
    this.collectFolder = collectFolder;
    this.say({ type: 'start', order });
    const over = new AbortController();
    void this.closed.then(() => over.abort());
    void followRules(collectFolder, (rules) => this.say({ type: 'rules', rules }), over.signal);
  }

  /** What it answers next, about what it counted; undefined where it has gone. */
  metrics(ask: Extract<ToReplica, { type: 'metrics' | 'drain' }>): Promise<ModuleMetrics | undefined> {
    const answer = new Promise<ModuleMetrics | undefined>((resolve) => this.told.once('metrics', resolve));
    this.say(ask);
    return Promise.race([answer, this.closed.then(() => undefined)]);
  }

  /** The container, if it runs still, ends within some seconds. */
  letGo(): void {
    this.link?.destroy();
  }

  async close(): Promise<void> {
    this.letGo();
    this.server.close();
    await rm(this.socketPath, { force: true });
    await chmod(this.folder, 0o700).catch(() => undefined);
    await rm(this.folder, { recursive: true, force: true });
  }

  private say(message: ToReplica): void {
    if (this.link !== undefined) sendMessage(this.link, message);
  }

  private async take(file: string, lines: string): Promise<void> {
    if (this.collectFolder === undefined) return;
    if (await takePiece(this.collectFolder, file, lines)) this.say({ type: 'taken', file });
  }

  private async takeSocket(): Promise<void> {
    await rename(join(this.folder, scoreSocket), this.socketPath);
    await chmod(this.folder, 0o555);
    // A link to somewhere else would have the front ask there, with our rights.
    if (!(await lstat(this.socketPath)).isSocket()) {
      await rm(this.socketPath, { force: true, recursive: true });
      throw new AppError('process.failed', 'its container made something else in place of its socket');
    }
  }
}

function withoutUndefined({
  code,
  message,
  details,
}: {
  code: Problem['code'];
  message: string;
  details?: Problem['details'] | undefined;
}): Problem {
  return details === undefined ? { code, message } : { code, message, details };
}
