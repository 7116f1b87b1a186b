/**
 * The brokers that routes name: the agent's own listener, which opens where a route needs it and is tried again
 * where its port is taken, and those of the device's settings, each with one session for all routes.
 */
import { readFileSync } from 'node:fs';
import { messageOf } from '#shared/kernel/errors.js';
import { errno } from '#shared/platform/atomic-file.js';
import type { LocalMqttConfig } from '../route-settings.js';
import type { ListenerOptions, LocalListener } from './local-listener.js';
import type { TopicBroker, TopicReader } from './topic-broker.js';

export interface DirectoryPorts extends Pick<ListenerOptions, 'clock' | 'logger' | 'keyDigests'> {
  readonly config: LocalMqttConfig;
  /** Of this device, for brokers elsewhere. */
  readonly device: string;
}

const tryAgainMs = 10_000;

export class BrokerDirectory {
  private readonly outside = new Map<string, Promise<TopicBroker>>();
  private readonly local: OwnListener;

  constructor(private readonly ports: DirectoryPorts) {
    this.local = new OwnListener(ports);
    if (ports.config.listen === 'always') this.local.want(true);
  }

  /** Where it listens; undefined when it does not. */
  get listening(): { readonly address: string; readonly port: number } | undefined {
    const { address } = this.ports.config;
    const { port } = this.local;
    return port === undefined ? undefined : { address, port };
  }

  /** @returns why there is none of that name here */
  refusal(name: string | undefined): string | undefined {
    const { listen, brokers } = this.ports.config;
    if (name === undefined) return listen === 'never' ? 'mqtt.listen is never on this device' : undefined;
    if (brokers.some((one) => one.name === name)) return undefined;
    const known = brokers.length === 0 ? 'none' : brokers.map((one) => one.name).join(', ');
    return `the settings of the device name no broker "${name}" (mqtt.brokers names ${known})`;
  }

  get(name: string | undefined): TopicBroker {
    return name === undefined ? this.local : new LaterBroker(this.open(name));
  }

  /** Closes what no route needs any more. */
  retain(names: ReadonlySet<string | undefined>): void {
    this.local.want(this.ports.config.listen === 'always' || names.has(undefined));
    for (const [name, broker] of this.outside) {
      if (names.has(name)) continue;
      this.outside.delete(name);
      void broker.then(
        (one) => one.close(),
        () => undefined,
      );
    }
  }

  keysChanged(): void {
    this.local.keysChanged();
  }

  async close(): Promise<void> {
    await this.local.close();
    const brokers = [...this.outside.values()];
    this.outside.clear();
    await Promise.allSettled(brokers.map(async (broker) => (await broker).close()));
  }

  private open(name: string): Promise<TopicBroker> {
    const opened = this.outside.get(name) ?? this.connect(name);
    this.outside.set(name, opened);
    return opened;
  }

  /** The library is loaded where a route needs it. */
  private async connect(name: string): Promise<TopicBroker> {
    const { config, device } = this.ports;
    const setting = config.brokers.find((one) => one.name === name);
    if (setting === undefined) throw new Error(`no broker ${name}`);
    const { OutsideBroker } = await import('./outside-broker.js');
    const { url, username, password } = setting;
    const authority = config.brokerAuthority === undefined ? undefined : readFileSync(config.brokerAuthority, 'utf8');
    const clientId = `flotilla-${device}`;
    return new OutsideBroker({ url, username, password, authority, clientId });
  }
}

/** A broker that is being opened: readers are handed on once it is. */
class LaterBroker implements TopicBroker {
  private opened: TopicBroker | undefined;
  private failure: string | undefined;

  constructor(private readonly opening: Promise<TopicBroker>) {
    opening.then(
      (broker) => {
        this.opened = broker;
      },
      (error: unknown) => {
        this.failure = messageOf(error);
      },
    );
  }

  get problem(): string | undefined {
    return this.opened === undefined ? (this.failure ?? 'not connected yet') : this.opened.problem;
  }

  read(reader: TopicReader): () => void {
    let stop: (() => void) | undefined;
    let stopped = false;
    void this.opening.then(
      (broker) => {
        if (!stopped) stop = broker.read(reader);
      },
      () => undefined,
    );
    return () => {
      stopped = true;
      stop?.();
    };
  }

  async publish(topic: string, payload: Buffer): Promise<string | undefined> {
    return this.opened === undefined ? this.problem : this.opened.publish(topic, payload);
  }

  /** The directory closes it, for all routes. */
  async close(): Promise<void> {}
}

class OwnListener implements TopicBroker {
  problem: string | undefined = 'it does not listen yet';
  private readonly readers = new Map<TopicReader, (() => void) | undefined>();
  private listener: LocalListener | undefined;
  private wanted = false;
  private readonly stopping = new AbortController();
  private turn: Promise<void> = Promise.resolve();

  constructor(private readonly ports: DirectoryPorts) {}

  get port(): number | undefined {
    return this.listener?.port;
  }

  want(wanted: boolean): void {
    if (this.wanted === wanted) return;
    this.wanted = wanted;
    this.turn = this.turn.then(() => this.follow());
  }

  read(reader: TopicReader): () => void {
    this.readers.set(reader, this.listener?.read(reader));
    return () => {
      this.readers.get(reader)?.();
      this.readers.delete(reader);
    };
  }

  async publish(topic: string, payload: Buffer): Promise<string | undefined> {
    return this.listener === undefined ? this.problem : this.listener.publish(topic, payload);
  }

  keysChanged(): void {
    this.listener?.keysChanged();
  }

  async close(): Promise<void> {
    this.stopping.abort();
    this.wanted = false;
    await this.turn;
    await this.listener?.close();
    this.listener = undefined;
  }

  private async follow(): Promise<void> {
    if (!this.wanted) {
      const { listener } = this;
      this.listener = undefined;
      this.problem = 'it does not listen';
      for (const reader of this.readers.keys()) this.readers.set(reader, undefined);
      await listener?.close();
      return;
    }
    if (this.listener !== undefined) return;
    const { config, clock, logger } = this.ports;
    const { signal } = this.stopping;
    while (this.wanted && !signal.aborted) {
      try {
        const { LocalListener } = await import('./local-listener.js');
        this.listener = await LocalListener.open({ ...config, ...this.ports });
        this.problem = undefined;
        for (const reader of this.readers.keys()) this.readers.set(reader, this.listener.read(reader));
        logger.info({ address: config.address, port: this.listener.port }, 'local MQTT');
        return;
      } catch (error) {
        const where = `${config.address}:${String(config.port)}`;
        const taken =
          errno(error) === 'EADDRINUSE' ? ': another program listens there; set mqtt.port' : `: ${messageOf(error)}`;
        this.problem = `local MQTT cannot listen on ${where}${taken}`;
        logger.warn({ reason: this.problem }, 'local MQTT does not listen; it is tried again');
        await clock.sleep(tryAgainMs, signal);
      }
    }
  }
}
