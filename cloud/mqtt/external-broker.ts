/** Mosquitto, EMQX or another broker, as one of its clients: with the control plane's own certificate. */
import { connect, type MqttClient } from 'mqtt';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { channels, cloudFilters, parseTopic, topicRoot } from '#shared/protocol/topics.js';
import type { Broker, MessageHandler, PublishOptions } from './broker.js';
import { controlPlaneName } from './broker-access.js';

export interface ExternalBrokerOptions {
  /** mqtts://host:port */
  readonly url: string;
  /** PEM: the certificate of `$control-plane` with its key. */
  readonly certificate: string;
  readonly privateKey: string;
  /** PEM certificates that the broker's must chain to. */
  readonly authorities: readonly string[];
  /** The name in the broker's certificate, whatever address it is reached by. */
  readonly serverName: string;
  readonly reconnectMs: number;
  readonly logger: Logger;
}

export class ExternalBroker implements Broker {
  private handler: MessageHandler = () => undefined;
  private subscribed = false;
  /** Rejects what waits for the present connection. */
  private readonly waiting = new Set<(error: Error) => void>();

  private readonly client: MqttClient;

  constructor(private readonly options: ExternalBrokerOptions) {
    this.client = connect(options.url, {
      manualConnect: true,
      clientId: controlPlaneName,
      clean: true,
      protocolVersion: 4,
      ca: [...options.authorities],
      cert: options.certificate,
      key: options.privateKey,
      servername: options.serverName,
      rejectUnauthorized: true,
      reconnectPeriod: options.reconnectMs,
      connectTimeout: 10_000,
      resubscribe: false,
      queueQoSZero: false,
    });
    this.listen();
  }

  /** Returns at once; `isConnected` says when the broker is there, and it goes on trying until `close`. */
  async open(): Promise<void> {
    this.client.connect();
  }

  async publish(topic: string, payload: Buffer, { qos, retain }: PublishOptions): Promise<void> {
    if (!this.isConnected()) throw this.unreachable('is not connected');
    await new Promise<void>((resolve, reject) => {
      this.waiting.add(reject);
      this.client.publish(topic, payload, { qos, retain }, (error) => {
        this.waiting.delete(reject);
        if (error) reject(this.unreachable(error.message));
        else resolve();
      });
    });
  }

  onMessage(handler: MessageHandler): void {
    this.handler = handler;
  }

  /** Connections made from now on show this certificate, and trust these authorities. */
  use(tls: Pick<ExternalBrokerOptions, 'certificate' | 'privateKey' | 'authorities'>): void {
    const { options } = this.client;
    options.cert = tls.certificate;
    options.key = tls.privateKey;
    options.ca = [...tls.authorities];
  }

  /** Connected and listening: a message published before the subscriptions stand could be answered unheard. */
  isConnected(): boolean {
    return this.client.connected && this.subscribed;
  }

  async close(): Promise<void> {
    this.handler = () => undefined;
    this.lost();
    await this.client.endAsync(true);
  }

  private listen(): void {
    const { client, options } = this;
    client.on('connect', () => {
      (client.stream as { setNoDelay?: (on: boolean) => void }).setNoDelay?.(true);
      this.subscribeAll().catch((error: unknown) => {
        options.logger.error({ reason: messageOf(error) }, 'cannot subscribe at the broker; trying again');
        client.stream.destroy();
      });
    });
    client.on('close', () => this.lost());
    client.on('error', (error) => options.logger.warn({ reason: error.message, url: options.url }, 'broker refused'));
    client.on('message', (topic, payload) => this.handler(topic, payload));
  }

  private async subscribeAll(): Promise<void> {
    const filters = Object.fromEntries(cloudFilters().map((filter) => [filter, { qos: qosOf(filter) }]));
    const granted = await this.client.subscribeAsync(filters);
    const denied = granted.filter(({ qos }) => qos === 128);
    if (denied.length > 0) {
      throw this.unreachable(`denies ${denied.map(({ topic }) => topic).join(', ')} to ${controlPlaneName}`);
    }
    this.subscribed = true;
    this.options.logger.info({ url: this.options.url }, 'connected to the broker');
  }

  private lost(): void {
    this.subscribed = false;
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const reject of waiting) reject(this.unreachable('closed the connection'));
  }

  private unreachable(what: string): AppError {
    return new AppError(
      'broker.unreachable',
      `the broker ${this.options.url} ${what}; see that it runs and takes certificates of this installation`,
    );
  }
}

function qosOf(filter: string): 0 | 1 {
  const example = filter.replace(`${topicRoot}/+/+/`, `${topicRoot}/w/d/`).replace('+', 'id');
  const topic = parseTopic(example);
  return topic ? channels[topic.channel].qos : 1;
}
