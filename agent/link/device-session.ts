/**
 * The MQTT session with the control plane: one connection at a time, made anew after a jittered pause
 * whenever it ends. Sessions are clean, so nothing of an earlier connection matters; whatever must not
 * be lost is sent again by its owner, who is told of every connection.
 *
 * Trust: TLS with this device's certificate; the server is verified as server-check.ts says, whatever
 * address the URL has. MQTT goes over TLS or, where only HTTPS leaves, over WebSocket
 * (transport-choice.ts).
 */
import { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type mqtt from 'mqtt';
import type { MqttClient } from 'mqtt';
import { backoffMs, type BackoffPolicy } from '#shared/kernel/backoff.js';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { messageOf } from '#shared/kernel/errors.js';
import type { Random } from '#shared/kernel/ids.js';
import type { Logger } from '#shared/platform/logger.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { FrameGuard, maxPacketBytes } from '#shared/protocol/frame-guard.js';
import type { Presence } from '#shared/protocol/presence.js';
import {
  buildTopic,
  type Channel,
  channels,
  clientIdOf,
  type DeviceAddress,
  deviceFilters,
  parseTopic,
} from '#shared/protocol/topics.js';
import { openBrokerStream } from './broker-stream.js';
import type { ProxySettings } from './proxy-choice.js';
import { afterConnection, firstTransport } from './transport-choice.js';

export interface SessionOptions {
  readonly address: DeviceAddress;
  /** mqtts:// or wss://, in the order in which they are tried; at least one. */
  readonly urls: readonly string[];
  /** The name that the broker's certificate must carry. */
  readonly serverName: string;
  readonly proxy: ProxySettings;
  readonly bootId: number;
  readonly agentVersion: string;
  readonly keepaliveSeconds: number;
  readonly reconnect: BackoffPolicy;
  readonly connectTimeoutMs: number;
}

export interface SessionPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Asked at every connection, since all of it changes while the agent runs. PEM. */
  readonly client: () => { readonly certificate: string; readonly privateKey: string };
  readonly authorities: () => readonly string[];
  readonly trustedNow: () => number;
  /** Connected and subscribed, or no longer. */
  readonly onLink: (up: boolean) => void;
  readonly onMessage: (channel: Channel, id: string | undefined, payload: Buffer) => void;
}

/** How long a farewell may take. */
const goodbyeMs = 2_000;
/** How long one way to the broker may take to open before the other is tried. */
const otherWayMs = 5_000;

export class DeviceSession {
  private client: MqttClient | undefined;
  private readonly stopping = new AbortController();
  private loop: Promise<void> | undefined;
  private up = false;
  private leaving = false;
  private problem: string | undefined;
  private transport = firstTransport;
  /** Of the certificate that the present connection was made with. */
  private serial: string | undefined;

  constructor(
    private readonly options: SessionOptions,
    private readonly ports: SessionPorts,
  ) {}

  get connected(): boolean {
    return this.up;
  }

  /** Why the last attempt failed; undefined while connected. */
  get lastProblem(): string | undefined {
    return this.problem;
  }

  start(): void {
    this.loop ??= this.run();
  }

  /** Says goodbye, so that the last will is not needed. */
  async stop(): Promise<void> {
    this.leaving = true;
    // Not only once it is up: that this device is online may be on its way to the broker.
    if (this.client?.connected) {
      await Promise.race([this.publish('presence', this.presence(false)), this.ports.clock.sleep(goodbyeMs)]);
    }
    this.stopping.abort();
    await this.loop;
  }

  /** @returns whether the broker took it (QoS 1), or it went out (QoS 0) */
  publish(channel: Channel, message: unknown, id?: string): Promise<boolean> {
    return this.publishBytes(channel, encodeMessage(message), id);
  }

  private publishBytes(channel: Channel, payload: Uint8Array, id?: string): Promise<boolean> {
    const { client } = this;
    if (client === undefined || !client.connected) return Promise.resolve(false);
    const { qos, retain } = channels[channel];
    const topic = buildTopic({ ...this.options.address, channel, ...(id === undefined ? {} : { id }) });
    return new Promise((resolve) => {
      const lost = (): void => resolve(false);
      client.once('close', lost);
      client.publish(
        topic,
        Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
        { qos, retain },
        (error) => {
          client.removeListener('close', lost);
          resolve(error === undefined || error === null);
        },
      );
    });
  }

  private async run(): Promise<void> {
    const { clock, random, logger } = this.ports;
    const { signal } = this.stopping;
    const { urls } = this.options;
    for (let attempt = 1; !signal.aborted; attempt++) {
      const url = urls[this.transport.at] ?? '';
      let stood = false;
      const cause = await this.connection(url, () => {
        attempt = 0;
        stood = true;
        this.transport = afterConnection(this.transport, 'stood', urls.length);
        logger.info({ url }, 'connected to the control plane');
      });
      if (signal.aborted) return;
      this.problem = cause;
      if (!stood) this.transport = afterConnection(this.transport, 'failed', urls.length);
      // The other way may be open at once: only when all were tried is it time to wait, by one step more.
      const atOnce = this.transport.failures === 0 && this.transport.at !== 0 && !stood;
      const pauseMs = atOnce ? 0 : backoffMs(Math.max(1, attempt), this.options.reconnect, random());
      if (atOnce) attempt -= 1;
      logger.warn({ cause, url, pauseMs }, 'no connection to the control plane');
      await clock.sleep(pauseMs, signal);
    }
  }

  /** One connection from its beginning to its end. @returns why it ended */
  private async connection(url: string, onUp: () => void): Promise<string> {
    let stream: Duplex;
    try {
      stream = await this.openStream(url);
    } catch (error) {
      return messageOf(error);
    }
    const causes: string[] = [];
    stream.on('error', (error: Error) => causes.push(explain(error)));
    // Loaded here: a device serves what it has before it has a network.
    const { default: library } = await import('mqtt');
    if (this.stopping.signal.aborted) {
      stream.destroy();
      return 'stopped';
    }
    return this.converse(library, stream, causes, onUp);
  }

  private async converse(library: typeof mqtt, stream: Duplex, causes: string[], onUp: () => void): Promise<string> {
    const { options, ports } = this;
    const { signal } = this.stopping;
    const client = new library.MqttClient(() => guarded(stream, (cause) => causes.push(cause)), {
      clientId: clientIdOf(options.address),
      protocolVersion: 4,
      clean: true,
      keepalive: options.keepaliveSeconds,
      reconnectPeriod: 0,
      connectTimeout: options.connectTimeoutMs,
      queueQoSZero: false,
      resubscribe: false,
      will: {
        topic: buildTopic({ ...options.address, channel: 'presence' }),
        payload: Buffer.from(encodeMessage(this.presence(false))),
        qos: channels.presence.qos,
        retain: channels.presence.retain,
      },
    });
    this.client = client;
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    const stop = (): void => {
      if (client.connected) client.end();
      else client.end(true);
      // A broker that no longer answers must not keep us.
      const giveUp = setTimeout(() => client.stream.destroy(), goodbyeMs);
      client.once('close', () => clearTimeout(giveUp));
    };
    signal.addEventListener('abort', stop, { once: true });
    client.on('error', (error) => causes.push(explain(error)));
    client.on('message', (topic, payload) => this.deliver(topic, payload));
    let answered = false;
    client.once('connect', () => {
      answered = true;
      this.begin(client).then(
        (begun) => {
          if (!begun || client !== this.client) return;
          onUp();
          this.up = true;
          this.problem = undefined;
          ports.onLink(true);
        },
        (error: unknown) => {
          causes.push(messageOf(error));
          client.end(true);
        },
      );
    });
    await closed;
    signal.removeEventListener('abort', stop);
    client.end(true);
    this.client = undefined;
    if (this.up) {
      this.up = false;
      ports.onLink(false);
    }
    const [cause = 'the connection was closed'] = causes;
    return answered || cause === notAccepted ? cause : `${cause} before the broker answered: ${notAccepted}`;
  }

  private openStream(url: string): Promise<Duplex> {
    const { options, ports } = this;
    const client = ports.client();
    this.serial = new X509Certificate(client.certificate).serialNumber.toLowerCase();
    // With another way left, one that swallows what is sent to it is not waited for so long.
    const timeoutMs =
      options.urls.length > 1 ? Math.min(otherWayMs, options.connectTimeoutMs) : options.connectTimeoutMs;
    return openBrokerStream(
      {
        url,
        client,
        expected: { authorities: ports.authorities(), name: options.serverName, trustedNow: ports.trustedNow() },
      },
      options.proxy,
      { timeoutMs, signal: this.stopping.signal },
    );
  }

  /** Subscribed before anything is asked, so that no answer is missed. */
  private async begin(client: MqttClient): Promise<boolean> {
    const granted = await client.subscribeAsync(deviceFilters(this.options.address), { qos: 1 });
    const refused = granted.filter(({ qos }) => qos > 1).map(({ topic }) => topic);
    if (refused.length > 0) throw new Error(`the broker refused ${refused.join(', ')}`);
    return this.leaving ? false : this.publish('presence', this.presence(true));
  }

  private deliver(topicText: string, payload: Buffer): void {
    const topic = parseTopic(topicText);
    const { workspace, device } = this.options.address;
    if (topic === undefined || topic.workspace !== workspace || topic.device !== device) return;
    if (channels[topic.channel].from !== 'cloud') return;
    this.ports.onMessage(topic.channel, topic.id, payload);
  }

  private presence(online: boolean): Presence {
    const { bootId, agentVersion } = this.options;
    const since = toInstant(this.ports.clock.now());
    return { schema: 1, online, bootId, agentVersion, since, ...(online ? { certificate: this.serial } : {}) };
  }
}

/** A broker may be in the wrong hands: mqtt.js would collect what it announces, whatever its size. */
function guarded(stream: Duplex, onError: (cause: string) => void): Duplex {
  const guard = new FrameGuard();
  stream.on('data', (chunk: Buffer) => {
    if (guard.inspect(chunk, maxPacketBytes) === 'pass' || stream.destroyed) return;
    onError('the broker announced a packet that is malformed, or larger than any that belongs here');
    stream.destroy();
  });
  return stream;
}

const notAccepted =
  'the broker may not accept this device: see whether its certificate was revoked, or the device retired, and enrol it anew';

/** The CONNACK codes of MQTT 3.1.1 that a person can do something about. */
function explain(error: Error): string {
  const code = 'code' in error ? error.code : undefined;
  const refused = code === 2 || code === 4 || code === 5;
  // TLS 1.3 tells a client only after its handshake that its certificate was refused.
  if (refused || (typeof code === 'string' && /^ERR_SSL_.*_ALERT_.*(CERTIFICATE|CA)/.test(code))) {
    return notAccepted;
  }
  return error.message;
}
