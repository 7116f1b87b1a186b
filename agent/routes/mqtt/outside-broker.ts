/** A broker of the site that the device's settings name, over a session that is clean and comes back by itself. */
import { connect, type MqttClient } from 'mqtt';
import { messageOf } from '#shared/kernel/errors.js';
import { matchesFilter } from '#shared/protocol/local-topic.js';
import type { TopicBroker, TopicReader } from './topic-broker.js';

export interface OutsideBrokerOptions {
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** PEM; absent: the authorities that the system knows. */
  readonly authority?: string | undefined;
  readonly clientId: string;
}

const reconnectMs = 5_000;
const publishTimeoutMs = 10_000;

export class OutsideBroker implements TopicBroker {
  problem: string | undefined = 'not connected yet';
  private readonly readers = new Set<TopicReader>();
  private readonly closed = new AbortController();
  private readonly client: MqttClient;

  constructor({ url, username, password, authority, clientId }: OutsideBrokerOptions) {
    this.client = connect(url, {
      clientId,
      protocolVersion: 4,
      clean: true,
      reconnectPeriod: reconnectMs,
      connectTimeout: publishTimeoutMs,
      queueQoSZero: false,
      resubscribe: false,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(authority === undefined ? {} : { ca: authority }),
    });
    this.client.on('connect', () => {
      this.problem = undefined;
      for (const { filter } of this.readers) this.subscribe(filter);
    });
    this.client.on('close', () => {
      this.problem ??= 'the connection ended';
    });
    this.client.on('error', (error) => {
      this.problem = messageOf(error);
    });
    // What comes next is read, and acknowledged, once this has been taken.
    this.client.handleMessage = (packet, done) => {
      const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload);
      this.take(packet.topic, payload).then(
        () => done(),
        () => done(),
      );
    };
  }

  read(reader: TopicReader): () => void {
    this.readers.add(reader);
    if (this.client.connected) this.subscribe(reader.filter);
    return () => {
      this.readers.delete(reader);
      const stillRead = [...this.readers].some(({ filter }) => filter === reader.filter);
      if (!stillRead && this.client.connected) this.client.unsubscribe(reader.filter);
    };
  }

  async publish(topic: string, payload: Buffer): Promise<string | undefined> {
    if (!this.client.connected) return this.problem ?? 'not connected';
    try {
      await Promise.race([this.client.publishAsync(topic, payload, { qos: 1 }), refusal(this.closed.signal)]);
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  }

  async close(): Promise<void> {
    this.closed.abort();
    this.readers.clear();
    await this.client.endAsync(true);
  }

  private subscribe(filter: string): void {
    this.client.subscribe(filter, { qos: 1 }, (error, granted) => {
      const refused = granted?.some(({ qos }) => qos === 128) === true;
      if (error || refused) this.problem = `the broker refuses the topic ${filter}`;
    });
  }

  private async take(topic: string, payload: Buffer): Promise<void> {
    for (const reader of this.readers) {
      if (!matchesFilter(topic, reader.filter)) continue;
      const room = reader.room(payload.length, this.closed.signal);
      if (room !== undefined) await room;
      reader.deliver(topic, payload);
    }
  }
}

/** Brokers that do not answer hold one message up for so long. */
function refusal(closed: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const signal = AbortSignal.any([closed, AbortSignal.timeout(publishTimeoutMs)]);
    signal.addEventListener('abort', () => reject(new Error('the broker does not confirm')), { once: true });
  });
}
