/**
 * aedes in this process, over TLS with client certificates and, on the API's port, over WebSocket. What
 * aedes lacks stands here and in client-stream.ts: a certificate for every client, bounds on connections,
 * and that one client's silence or noise costs the others nothing. Invariant: no message passes that
 * `broker-access.ts` does not allow.
 */
import { constants } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls';
import { Aedes, type Client } from 'aedes';
import { AppError } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { clientIdOf, cloudFilters, type DeviceAddress } from '#shared/protocol/topics.js';
import { listenOn } from '#cloud/http/listen.js';
import type { Broker, MessageHandler, PublishOptions } from './broker.js';
import type { BrokerAuthenticator } from './broker-authenticator.js';
import { keepRetainedByOwner } from './retained-messages.js';
import { BrokerRules, type RulesOptions } from './broker-rules.js';
import { type ClientCertificate, clientCertificateOf } from './client-certificate.js';
import { ConnectionCounter, type ConnectionLimits } from '#shared/platform/mqtt/connection-limits.js';
import type { DeviceAccess } from './device-access.js';
import { ClientStream, type StreamLimits, type Transport } from '#shared/platform/mqtt/client-stream.js';
import { overTls, overWebSocket } from './transports.js';
import { WebSocketDoor } from './websocket-door.js';

/** PEM. */
export interface BrokerTls {
  readonly certificate: string;
  readonly privateKey: string;
  /** Whose certificates clients may come with. */
  readonly authorities: readonly string[];
}

export interface EmbeddedBrokerOptions {
  readonly host: string;
  readonly port: number;
  /** As it is now; asked again when `authoritiesChanged` says so. */
  readonly tls: () => BrokerTls;
  readonly authenticator: BrokerAuthenticator;
  readonly connections: ConnectionLimits;
  readonly takeovers: RulesOptions['takeovers'];
  readonly stream: StreamLimits;
  /** From TCP accept to an accepted CONNECT. */
  readonly connectTimeoutMs: number;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  readonly logger: Logger;
}

/** Messages under way at once; beyond it everything waits for the slowest reader. */
const concurrency = 100_000;
/** Ours cut a reader off sooner: this one only gathers what waits for one client. */
const drainTimeoutMs = 3_600_000;
/** A peer that vanished without a word is found out by the system. */
const keepAliveMs = 60_000;

export class EmbeddedBroker implements Broker, DeviceAccess {
  private readonly door = new WebSocketDoor((socket, certificate) => this.admitWebSocket(socket, certificate));
  private readonly counter: ConnectionCounter;
  private readonly sockets = new Map<string, { readonly accepted: () => void; readonly socket: Socket }>();
  private readonly streams = new Set<ClientStream>();
  private handler: MessageHandler = () => undefined;
  private closing = false;

  private constructor(
    private readonly options: EmbeddedBrokerOptions,
    private readonly aedes: Aedes,
    private readonly server: Server,
    private readonly rules: BrokerRules,
  ) {
    this.counter = new ConnectionCounter(options.connections);
  }

  static async create(options: EmbeddedBrokerOptions): Promise<EmbeddedBroker> {
    const aedes = await Aedes.createBroker({
      concurrency,
      drainTimeout: drainTimeoutMs,
      connectTimeout: options.connectTimeoutMs,
      maxTopicLevels: 16,
      maxInflightInbound: 1,
    });
    keepRetainedByOwner(aedes);
    const server = createServer({
      ...secureContext(options.tls()),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: options.connectTimeoutMs,
      noDelay: true,
    });
    const broker = new EmbeddedBroker(options, aedes, server, new BrokerRules(aedes, options));
    broker.listenToSockets();
    await broker.subscribeAll();
    return broker;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.rules.sessions.size;
  }

  /** Bytes that wait for clients to read them, of all together. */
  get waitingBytes(): number {
    let bytes = 0;
    for (const stream of this.streams) bytes += stream.waitingBytes;
    return bytes;
  }

  /** An upgrade request for MQTT over WebSocket, from a listener that asks for client certificates. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.door.handle(request, socket, head);
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
    await this.end(address, () => true);
  }

  async revoked(address: DeviceAddress, fingerprint: string): Promise<void> {
    await this.end(address, (client) => this.rules.fingerprintOf(client) === fingerprint);
  }

  superseded(address: DeviceAddress, fingerprint: string): Promise<void> {
    return this.revoked(address, fingerprint);
  }

  /** Whoever connects from now on is judged by them, and shown the server's new certificate. */
  async authoritiesChanged(): Promise<void> {
    this.server.setSecureContext(secureContext(this.options.tls()));
  }

  async close(): Promise<void> {
    if (this.closing) return;
    this.closing = true;
    this.handler = () => undefined;
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    await new Promise<void>((resolve) => this.aedes.close(() => resolve()));
    for (const { socket } of this.sockets.values()) socket.destroy();
    await closed;
  }

  private async end(address: DeviceAddress, which: (client: Client) => boolean): Promise<void> {
    const session = this.rules.sessions.get(clientIdOf(address));
    if (session && which(session)) await new Promise<void>((resolve) => session.close(resolve));
  }

  private listenToSockets(): void {
    const { server, options } = this;
    server.on('connection', (socket: Socket) => {
      const place = this.enter(socket);
      if (place === undefined) socket.destroy();
    });
    server.on('tlsClientError', (error, socket) => {
      options.logger.debug({ reason: error.message, from: socket.remoteAddress }, 'no TLS session');
      // A handshake that took too long is only told of: the connection would stay.
      socket.destroy();
    });
    server.on('secureConnection', (socket) => {
      const certificate = clientCertificateOf(socket);
      const place = this.sockets.get(peerOf(socket));
      if (certificate === undefined || place === undefined) socket.destroy();
      else this.serve(overTls(socket), certificate, place.accepted);
    });
  }

  private admitWebSocket(socket: TLSSocket, certificate: ClientCertificate) {
    if (this.closing) return undefined;
    const place = this.enter(socket);
    return (
      place &&
      ((client: Parameters<typeof overWebSocket>[0]) => {
        this.serve(overWebSocket(client, socket), certificate, place.accepted);
      })
    );
  }

  private enter(socket: Socket): { readonly accepted: () => void } | undefined {
    const place = this.counter.enter(socket.remoteAddress ?? '');
    if (place === undefined) {
      this.options.logger.warn({ from: socket.remoteAddress }, 'connection refused: there are too many');
      return undefined;
    }
    const peer = peerOf(socket);
    this.sockets.set(peer, { accepted: place.accepted, socket });
    socket.once('close', () => {
      place.closed();
      this.sockets.delete(peer);
    });
    socket.setKeepAlive(true, keepAliveMs);
    return place;
  }

  private serve(transport: Transport, certificate: ClientCertificate, onAccepted: () => void): void {
    const stream = new ClientStream(transport, this.options.stream, this.options.now);
    this.streams.add(stream);
    stream.once('close', () => this.streams.delete(stream));
    stream.on('error', (error) => {
      this.options.logger.warn({ client: certificate.name, reason: error.message }, 'connection cut');
    });
    // aedes asks of a connection what any duplex stream can.
    this.rules.admit(this.aedes.handle(stream as unknown as Socket), certificate, () => {
      stream.accepted = true;
      onAccepted();
    });
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

/** No session tickets: a session that is taken up again would not be judged by the authorities of today. */
function secureContext({ certificate, privateKey, authorities }: BrokerTls): SecureContextOptions {
  return {
    cert: certificate,
    key: privateKey,
    ca: [...authorities],
    minVersion: 'TLSv1.2',
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

function peerOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''} ${String(socket.remotePort)}`;
}
