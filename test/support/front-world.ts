/** A front that listens, with replicas that answer as a test says, on Unix sockets. */
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { systemClock } from '#shared/kernel/clock.js';
import { secretDigest } from '#shared/scoring/access/bearer.js';
import type { DesiredEndpoint } from '#cloud/services/desired-services.js';
import { Front, type FrontOptions } from '#cloud/services/front/front.js';
import type { FrontAddress, TlsFiles } from '#cloud/services/front/front-server.js';
import type { FrontDeployment, FrontEndpoint, FrontReplica } from '#cloud/services/front/front-table.js';
import { type Answered, answered } from './scoring-harness.js';

/** Who reads plain requests, in every world that opens from then on: our own reader, or Node's like all others. */
export const reading = { plain: true };

export const frontKey = 'key-of-fraud';

export function keyAuth(...keys: string[]): DesiredEndpoint['auth'] {
  return { mode: 'key', keyDigests: keys.map((key) => secretDigest(key).toString('hex')) };
}

export const frontOptions: FrontOptions = {
  clock: systemClock,
  newId: () => 'request',
  random: () => 0,
  log: pino({ level: 'silent' }),
  maxBodyBytes: 8 * 1024 * 1024,
  names: { hostNames: [], addresses: [] },
};

export class FrontWorld {
  /** What `random` gives next; 0 where nothing is set. */
  draws: number[] = [];
  readonly sick: string[] = [];
  readonly needed: string[] = [];
  private endpoints: readonly FrontEndpoint[] = [];
  private replicas = 0;
  private readonly servers: Server[] = [];

  private constructor(
    readonly front: Front,
    readonly address: FrontAddress,
    private readonly folder: string,
  ) {
    front.onSick((replica) => this.sick.push(replica));
    front.onNeed((endpoint, deployment) => this.needed.push(`${endpoint}/${deployment}`));
  }

  static async open(options: Partial<FrontOptions> = {}, tls?: TlsFiles): Promise<FrontWorld> {
    let ids = 0;
    const front: Front = new Front({
      ...frontOptions,
      newId: () => `request-${String(++ids)}`,
      random: (): number => world.draws.shift() ?? 0,
      ...options,
    });
    const address = await front.listen({
      ...{ host: '127.0.0.1', port: 0, plain: reading.plain },
      ...(tls === undefined ? {} : { tls }),
    });
    const world: FrontWorld = new FrontWorld(front, address, await mkdtemp(join(tmpdir(), 'flotilla-front-')));
    return world;
  }

  /** A path where nobody listens yet. */
  socketPath(): string {
    return join(this.folder, `${String(++this.replicas)}.sock`);
  }

  async replica(answer: RequestListener): Promise<FrontReplica> {
    const socketPath = this.socketPath();
    await this.serve(createServer(answer), socketPath);
    return { id: `replica-${String(this.replicas)}`, address: { socketPath }, state: 'ready' };
  }

  async serve(server: Server, socketPath: string): Promise<void> {
    this.servers.push(server);
    server.listen(socketPath);
    await once(server, 'listening');
  }

  /** Endpoint `fraud` of workspace `main`, whose id is `ep-1`, in place of all others. */
  apply(deployments: readonly FrontDeployment[], more: Partial<FrontEndpoint> = {}): void {
    const endpoint: FrontEndpoint = {
      ...{ id: 'ep-1', workspace: 'main', name: 'fraud', auth: keyAuth(frontKey), deployments },
      traffic: { [deployments[0]?.name ?? '']: 100 },
      ...more,
    };
    this.endpoints = [...this.endpoints.filter(({ id }) => id !== endpoint.id), endpoint];
    this.front.apply({ endpoints: this.endpoints });
  }

  url(path: string): string {
    return `${this.address.url}/endpoints/main/fraud${path}`;
  }

  async ask(path: string, init: RequestInit = {}): Promise<Answered> {
    const headers = new Headers(init.headers);
    if (!headers.has('authorization')) headers.set('authorization', `Bearer ${frontKey}`);
    return answered(await fetch(this.url(path), { ...init, headers }));
  }

  score(body: unknown = { x: 1 }, headers: Record<string, string> = {}): Promise<Answered> {
    return this.ask('/score', { method: 'POST', body: JSON.stringify(body), headers });
  }

  async end(): Promise<void> {
    await this.front.close(0);
    for (const server of this.servers) server.close();
    for (const server of this.servers)
      if ('closeAllConnections' in server) (server.closeAllConnections as () => void)();
    await rm(this.folder, { recursive: true, force: true });
  }
}

export function deployment(
  name: string,
  replicas: readonly FrontReplica[],
  request: Partial<FrontDeployment['request']> = {},
  more: Partial<FrontDeployment> = {},
): FrontDeployment {
  return { name, revision: 1, request: { timeoutMs: 5000, maxConcurrentPerReplica: 4, ...request }, replicas, ...more };
}

/** Answers what it was asked, and says that it was. */
export function echo(name: string): RequestListener {
  return (request, response) => {
    response.setHeader('content-type', 'application/octet-stream');
    response.setHeader('answered-by', name);
    response.setHeader(
      'x-asked',
      Buffer.from(JSON.stringify({ url: request.url, headers: request.headers })).toString('base64'),
    );
    request.pipe(response);
  };
}

/** Of {@link echo}. */
export function askedOf({ headers }: Answered): { url: string; headers: Record<string, string> } {
  return JSON.parse(Buffer.from(headers.get('x-asked') ?? '', 'base64').toString()) as ReturnType<typeof askedOf>;
}
