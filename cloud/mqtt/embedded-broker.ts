/**
 * aedes in this process, over TLS. What it lacks stands here: a limit on packet size before and after
 * authentication, TCP_NODELAY, bounds on connections, and settings under which one frozen reader does
 * not stall the others. Invariant: no message passes that `broker-access.ts` does not allow.
 */
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { AddressInfo, Socket } from 'node:net';
import { Aedes, type AuthenticateError, type Client } from 'aedes';
import { AppError } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { clientIdOf, cloudFilters, type DeviceAddress } from '#shared/protocol/topics.js';
import { listenOn } from '#cloud/http/listen.js';
import type { Broker, MessageHandler, PublishOptions } from './broker.js';
import { type Identity, mayPublish, maySubscribe, type WillClaim } from './broker-access.js';
import type { BrokerAuthenticator, RefusalReason } from './broker-authenticator.js';
import type { DeviceAccess } from './device-access.js';
import { FrameGuard, maxPacketBytes, maxPacketBytesBeforeConnect } from '#shared/protocol/frame-guard.js';

export interface EmbeddedBrokerOptions {
  readonly host: string;
  readonly port: number;
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: string;
  readonly authenticator: BrokerAuthenticator;
  readonly maxConnections: number;
  /** From TCP accept to an accepted CONNECT. */
  readonly connectTimeoutMs: number;
  readonly logger: Logger;
}

/** Messages under way at once; beyond it everything waits for the slowest reader. */
const concurrency = 10_000;
/** What the agent subscribes to is a handful; topics of commands that never were must not fill our memory. */
const maxFiltersPerDevice = 64;
/** A reader that takes nothing for so long is cut off. */
const drainTimeoutMs = 1000;

const returnCodes = { identifier: 2, credentials: 4, 'not-authorized': 5 } as const satisfies Record<
  RefusalReason,
  number
>;

export class EmbeddedBroker implements Broker, DeviceAccess {
  private readonly identities = new WeakMap<Client, Identity>();
  private readonly wills = new WeakMap<Client, WillClaim>();
  /** Every filter that a connection was ever granted. */
  private readonly filters = new WeakMap<Client, Set<string>>();
  private readonly sessions = new Map<string, Client>();
  private readonly sockets = new Set<Socket>();
  private handler: MessageHandler = () => undefined;
  private closing = false;

  private constructor(
    private readonly options: EmbeddedBrokerOptions,
    private readonly aedes: Aedes,
    private readonly server: Server,
  ) {}

  static async create(options: EmbeddedBrokerOptions): Promise<EmbeddedBroker> {
    const aedes = await Aedes.createBroker({
      concurrency,
      drainTimeout: drainTimeoutMs,
      connectTimeout: options.connectTimeoutMs,
      maxTopicLevels: 16,
      maxInflightInbound: 1,
    });
    const server = createServer({
      cert: options.certificate,
      key: options.privateKey,
      minVersion: 'TLSv1.2',
      handshakeTimeout: options.connectTimeoutMs,
      noDelay: true,
    });
    const broker = new EmbeddedBroker(options, aedes, server);
    broker.installRules();
    broker.installSocketLimits();
    await broker.subscribeAll();
    return broker;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.sessions.size;
  }

  async publish(topic: string, payload: Buffer, { qos, retain }: PublishOptions): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.aedes.publish({ cmd: 'publish', topic, payload, qos, retain, dup: false }, (error) => {
        if (error) {
          reject(
            new AppError('broker.unreachable', `the embedded broker did not take ${topic}: ${error.message}`, {
              cause: error,
            }),
          );
        } else resolve();
      });
    });
  }

  onMessage(handler: MessageHandler): void {
    this.handler = handler;
  }

  isConnected(): boolean {
    return this.server.listening && !this.closing;
  }

  async open(): Promise<void> {
    try {
      await listenOn(this.server, this.options, 'broker.port (--broker-port)');
    } catch (error) {
      await this.close();
      throw error;
    }
    this.server.on('error', (error) => this.options.logger.error({ err: error }, 'the broker listener failed'));
  }

  /** Every CONNECT is judged by the database: nothing to do. */
  async enrolled(_address: DeviceAddress): Promise<void> {}

  async retired(address: DeviceAddress): Promise<void> {
    const session = this.sessions.get(clientIdOf(address));
    if (session) await new Promise<void>((resolve) => session.close(resolve));
  }

  /** Whatever the session uses: a device with another certificate comes back by itself. */
  revoked(address: DeviceAddress): Promise<void> {
    return this.retired(address);
  }

  async close(): Promise<void> {
    if (this.closing) return;
    this.closing = true;
    this.handler = () => undefined;
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    await new Promise<void>((resolve) => this.aedes.close(() => resolve()));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private installRules(): void {
    const { aedes } = this;
    aedes.preConnect = (client, packet, done) => {
      if (packet.will) {
        const { topic, payload, retain, qos } = packet.will;
        this.wills.set(client, { topic, retain: retain ?? false, qos: qos ?? 0, bytes: payload.length });
      }
      done(null, true);
    };
    aedes.authenticate = (client, userName, password, done) => {
      const credentials = { clientId: client.id, userName, password, will: this.wills.get(client) };
      this.options.authenticator.authenticate(credentials).then(
        (answer) => {
          if (answer.kind === 'accepted') {
            this.identities.set(client, answer.identity);
            done(null, true);
          } else {
            this.options.logger.info({ clientId: credentials.clientId, reason: answer.reason }, 'connection refused');
            done(refusal(returnCodes[answer.reason]), false);
          }
        },
        (error: unknown) => {
          this.options.logger.error({ err: error }, 'cannot judge a connection');
          done(refusal(3), false);
        },
      );
    };
    aedes.authorizePublish = (client, packet, done) => {
      const identity = client ? this.identities.get(client) : undefined;
      const message = { ...packet, bytes: packet.payload.length };
      if (identity && mayPublish(identity, message)) {
        done(null);
        return;
      }
      this.options.logger.warn({ clientId: client?.id, topic: packet.topic }, 'publish refused');
      done(new Error('not authorised to publish this'));
    };
    aedes.authorizeSubscribe = (client, subscription, done) => {
      const identity = this.identities.get(client);
      if (identity && maySubscribe(identity, subscription.topic) && this.mayAddFilter(client, subscription.topic)) {
        done(null, subscription);
        return;
      }
      this.options.logger.warn({ clientId: client.id, filter: subscription.topic }, 'subscription refused');
      done(null, null);
    };
    aedes.on('client', (client) => {
      this.sessions.set(client.id, client);
    });
    aedes.on('clientDisconnect', (client) => {
      if (this.sessions.get(client.id) === client) this.sessions.delete(client.id);
    });
    aedes.on('clientError', (client, error) => {
      this.options.logger.debug({ clientId: client.id, reason: error.message }, 'connection ended');
    });
    aedes.on('connectionError', (_client, error) => {
      this.options.logger.debug({ reason: error.message }, 'connection ended before it was accepted');
    });
  }

  private mayAddFilter(client: Client, filter: string): boolean {
    const granted = this.filters.get(client) ?? new Set<string>();
    this.filters.set(client, granted);
    if (granted.size < maxFiltersPerDevice) granted.add(filter);
    return granted.has(filter);
  }

  private installSocketLimits(): void {
    const { server } = this;
    server.maxConnections = this.options.maxConnections;
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
    server.on('tlsClientError', (error) => {
      this.options.logger.debug({ reason: error.message }, 'no TLS session');
    });
    server.on('secureConnection', (socket) => {
      socket.setNoDelay(true);
      this.guard(socket, this.aedes.handle(socket));
    });
  }

  /** aedes takes bytes by `read()` alone, so that is where they are looked at. */
  private guard(socket: TLSSocket, client: Client): void {
    const guard = new FrameGuard();
    const read = socket.read.bind(socket) as (size?: number) => Buffer | null;
    socket.read = (size?: number): Buffer | null => {
      const chunk = read(size);
      if (chunk === null) return null;
      const limit = this.identities.has(client) ? maxPacketBytes : maxPacketBytesBeforeConnect;
      const verdict = guard.inspect(chunk, limit);
      if (verdict === 'pass') return chunk;
      this.options.logger.warn({ clientId: client.id, limit, verdict }, 'connection cut for its packet');
      socket.destroy();
      return null;
    };
  }

  private async subscribeAll(): Promise<void> {
    const deliver = (packet: { topic: string; payload: Buffer | string }, done: () => void): void => {
      try {
        this.handler(packet.topic, Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload));
      } finally {
        done();
      }
    };
    await Promise.all(
      cloudFilters().map((filter) => new Promise<void>((resolve) => this.aedes.subscribe(filter, deliver, resolve))),
    );
  }
}

function refusal(returnCode: 2 | 3 | 4 | 5): AuthenticateError {
  return Object.assign(new Error(), { returnCode });
}
