/**
 * MQTT for the programs and machines of the site, in the agent: aedes behind the same bounds on connections, packets
 * and pace as the control plane's broker. On loopback it is open as the scoring port is; elsewhere a client needs
 * one of the scoring keys as its password. Nothing is kept for clients that are away: sessions end with their
 * connection, retained messages are delivered once.
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Aedes, type AuthenticateError, type Client } from 'aedes';
import type { Clock } from '#shared/kernel/clock.js';
import { messageOf } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { ClientStream, type StreamLimits } from '#shared/platform/mqtt/client-stream.js';
import { ConnectionCounter, type ConnectionLimits } from '#shared/platform/mqtt/connection-limits.js';
import { overSocket } from '#shared/platform/mqtt/socket-transport.js';
import { matchesFilter, maxTopicLevels } from '#shared/protocol/local-topic.js';
import { isLoopback } from '#shared/scoring/access/access-settings.js';
import { isAmong } from '#shared/scoring/access/bearer.js';
import type { TopicBroker, TopicReader } from './topic-broker.js';

export interface ListenerOptions {
  readonly address: string;
  readonly port: number;
  readonly maxPacketBytes: number;
  readonly keyDigests: () => readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

export const localConnections: ConnectionLimits = { inAll: 256, perAddress: 128, strangersPerAddress: 32 };
const streamLimits: Omit<StreamLimits, 'maxPacketBytes'> = {
  flow: { messagesPerSecond: 2000, bytesPerSecond: 32 * 1024 * 1024, burstSeconds: 2 },
  maxWaitingBytes: 8 * 1024 * 1024,
  stallMs: 30_000,
  // Who floods is slowed down for ever, not cut off: it is a sensor of this site.
  maxThrottledMs: Number.POSITIVE_INFINITY,
};
/** Messages under way at once; beyond it everything waits for the slowest reader. */
const concurrency = 10_000;
/** Ours cut a reader off sooner. */
const drainTimeoutMs = 3_600_000;
const connectTimeoutMs = 10_000;
const keepAliveMs = 60_000;
const maxFiltersPerClient = 64;
const badCredentials = 4;

export class LocalListener implements TopicBroker {
  problem: string | undefined;
  private readonly readers = new Set<TopicReader>();
  private readonly counter = new ConnectionCounter(localConnections);
  private readonly sockets = new Set<Socket>();
  private readonly accepted = new WeakMap<Client, () => void>();
  private readonly closed = new AbortController();
  /** Whoever needs a key, with the one that it came with. */
  private readonly passwords = new Map<Client, string>();

  private constructor(
    private readonly options: ListenerOptions,
    private readonly aedes: Aedes,
    private readonly server: Server,
  ) {
    this.rule();
    server.on('connection', (socket) => this.admit(socket));
  }

  static async open(options: ListenerOptions): Promise<LocalListener> {
    const aedes = await Aedes.createBroker({
      concurrency,
      drainTimeout: drainTimeoutMs,
      connectTimeout: connectTimeoutMs,
      maxTopicLevels,
      maxInflightInbound: 32,
    });
    const server = createServer({ noDelay: true });
    const listener = new LocalListener(options, aedes, server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.port, options.address, () => {
        server.off('error', reject);
        resolve();
      });
    }).catch(async (error: unknown) => {
      await listener.close();
      throw error;
    });
    server.on('error', (error) => options.logger.error({ err: error }, 'the local MQTT listener failed'));
    return listener;
  }

  get port(): number {
    return (this.server.address() as AddressInfo | null)?.port ?? this.options.port;
  }

  get connections(): number {
    return this.sockets.size;
  }

  read(reader: TopicReader): () => void {
    this.readers.add(reader);
    return () => void this.readers.delete(reader);
  }

  async publish(topic: string, payload: Buffer): Promise<string | undefined> {
    if (payload.length + topic.length + 16 > this.options.maxPacketBytes) {
      return `a message of ${String(payload.length)} bytes is larger than the listener takes`;
    }
    await this.waitForReaders(null, topic, payload.length);
    return new Promise((resolve) => {
      this.aedes.publish({ cmd: 'publish', topic, payload, qos: 1, retain: false, dup: false }, (error) =>
        resolve(error ? messageOf(error) : undefined),
      );
    });
  }

  /** Keys came or went: who is connected with one that counts no more has to go. */
  keysChanged(): void {
    const digests = this.digests();
    for (const [client, password] of this.passwords) if (!isAmong(password, digests)) client.close();
  }

  async close(): Promise<void> {
    this.closed.abort();
    this.readers.clear();
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    await new Promise<void>((resolve) => this.aedes.close(() => resolve()));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private admit(socket: Socket): void {
    const place = this.counter.enter(socket.remoteAddress ?? '');
    if (place === undefined) {
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      place.closed();
      this.sockets.delete(socket);
    });
    socket.setKeepAlive(true, keepAliveMs);
    const limits = { ...streamLimits, maxPacketBytes: this.options.maxPacketBytes };
    const stream = new ClientStream(overSocket(socket), limits, () => this.options.clock.monotonic());
    stream.on('error', (error) =>
      this.options.logger.debug({ reason: error.message }, 'a local MQTT client was cut off'),
    );
    // aedes asks of a connection what any duplex stream can.
    const client = this.aedes.handle(stream as unknown as Socket);
    this.accepted.set(client, () => {
      stream.accepted = true;
      place.accepted();
    });
  }

  private rule(): void {
    const { aedes, options } = this;
    aedes.preConnect = (_client, packet, done) => {
      packet.clean = true;
      done(null, true);
    };
    aedes.authenticate = (client, _user, password, done) => {
      if (isLoopback(options.address)) {
        this.accepted.get(client)?.();
        done(null, true);
        return;
      }
      const given = password === undefined ? '' : password.toString();
      if (!isAmong(given, this.digests())) {
        done(Object.assign(new Error('no key'), { returnCode: badCredentials }) as AuthenticateError, false);
        return;
      }
      this.passwords.set(client, given);
      this.accepted.get(client)?.();
      done(null, true);
    };
    aedes.authorizeSubscribe = (client, subscription, done) => {
      const count = Object.keys((client as { subscriptions?: object }).subscriptions ?? {}).length;
      done(null, subscription.topic.startsWith('$') || count >= maxFiltersPerClient ? null : subscription);
    };
    aedes.authorizePublish = (client, packet, done) => {
      if (packet.topic.startsWith('$')) {
        done(new Error('topics that begin with $ are not for clients'));
        return;
      }
      packet.retain = false;
      this.waitForReaders(client, packet.topic, packet.payload.length).then(
        () => done(null),
        () => done(new Error('the listener closes')),
      );
    };
    aedes.on('clientDisconnect', (client) => this.passwords.delete(client));
    aedes.on('clientError', (client, error) => {
      options.logger.debug({ client: client.id, reason: error.message }, 'a local MQTT connection ended');
    });
    aedes.on('connectionError', (_client, error) => {
      options.logger.debug({ reason: error.message }, 'a local MQTT connection failed');
    });
    aedes.on('publish', (packet) => this.deliver(packet.topic, packet.payload));
  }

  /** What a client sends next waits in its own socket meanwhile. */
  private async waitForReaders(client: Client | null, topic: string, bytes: number): Promise<void> {
    const full = [...this.readers].filter(({ filter }) => matchesFilter(topic, filter));
    const gone = new AbortController();
    const leave = (): void => gone.abort();
    const signal = AbortSignal.any([gone.signal, this.closed.signal]);
    for (const reader of full) {
      const room = reader.room(bytes, signal);
      if (room === undefined) continue;
      client?.conn.once('close', leave);
      await room;
      client?.conn.off('close', leave);
    }
  }

  private deliver(topic: string, payload: Buffer | string): void {
    if (topic.startsWith('$')) return;
    const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(payload);
    for (const reader of this.readers) if (matchesFilter(topic, reader.filter)) reader.deliver(topic, bytes);
  }

  private digests(): Uint8Array[] {
    return this.options.keyDigests().map((digest) => Buffer.from(digest, 'hex'));
  }
}
