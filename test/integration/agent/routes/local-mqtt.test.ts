import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import { BoundedQueue, type Loss } from '#agent/routes/bounded-queue.js';
import { LocalListener } from '#agent/routes/mqtt/local-listener.js';
import { OutsideBroker } from '#agent/routes/mqtt/outside-broker.js';
import type { TopicBroker } from '#agent/routes/mqtt/topic-broker.js';
import type { RouteItem } from '#agent/routes/payload.js';
import { openTopicSource } from '#agent/routes/sources/topic-source.js';
import { systemClock } from '#shared/kernel/clock.js';
import { createLogger } from '#shared/platform/logger.js';
import type { QueuePolicy } from '#shared/protocol/route.js';
import { outsideTool } from '../../../support/outside-tool.js';

const logger = createLogger('test', { level: 'silent', pretty: false });
const stop = new AbortController();
const undo: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function listen(address = '127.0.0.1', keys: string[] = []): Promise<LocalListener> {
  const keyDigests = (): string[] => keys.map((key) => createHash('sha256').update(key).digest('hex'));
  const listener = await LocalListener.open({
    ...{ address, port: 0, maxPacketBytes: 64 * 1024, keyDigests, clock: systemClock, logger },
  });
  undo.push(() => listener.close());
  return listener;
}

async function client({ port }: LocalListener, options: IClientOptions = {}): Promise<MqttClient> {
  const url = `mqtt://127.0.0.1:${String(port)}`;
  const connected = await connectAsync(url, { reconnectPeriod: 0, connectTimeout: 3000, ...options });
  undo.push(() => connected.endAsync(true));
  return connected;
}

interface Read {
  readonly queue: BoundedQueue<RouteItem>;
  readonly lost: Loss[];
  entered: number;
}

function read(broker: TopicBroker, filter: string, policy: QueuePolicy, size = 5): Read {
  const lost: Loss[] = [];
  const queue = new BoundedQueue<RouteItem>({ size, maxBytes: 100_000, policy }, (_, why) => lost.push(why));
  const into: Read = { queue, lost, entered: 0 };
  const source = openTopicSource(filter, broker, {
    queue,
    onEntered: () => {
      into.entered += 1;
    },
    onProblem: () => undefined,
  });
  undo.push(async () => source.stop());
  return into;
}

async function text({ queue }: Read): Promise<string> {
  const item = await queue.take(stop.signal);
  return `${item?.source ?? ''} ${((await item?.load()) ?? '').toString()}`;
}

const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await systemClock.sleep(5);
};

describe('the local MQTT listener', () => {
  it('brings what is published on a topic, and nothing else', async () => {
    const listener = await listen();
    const got = read(listener, 'plant/+/vibration', 'drop-oldest');
    const sensor = await client(listener);
    await sensor.publishAsync('plant/vibration', 'no', { qos: 1 });
    await sensor.publishAsync('plant/7/vibration', 'yes', { qos: 1 });
    expect(await text(got)).toBe('plant/7/vibration yes');
    expect(got.entered).toBe(1);
  });

  it('takes what mosquitto_pub sends', async () => {
    const publish = outsideTool('mosquitto_pub');
    const listener = await listen();
    const got = read(listener, 'plant/#', 'drop-oldest');
    await promisify(execFile)(publish, ['-p', String(listener.port), '-q', '1', '-t', 'plant/1', '-m', '{"level":2}']);
    expect(await text(got)).toBe('plant/1 {"level":2}');
  });

  it('gives answers to who subscribed', async () => {
    const listener = await listen();
    const screen = await client(listener);
    const heard = new Promise((resolve) =>
      screen.once('message', (topic, payload) => resolve([topic, String(payload)])),
    );
    await screen.subscribeAsync('plant/alarms');
    expect(await listener.publish('plant/alarms', Buffer.from('{}'))).toBeUndefined();
    expect(await heard).toEqual(['plant/alarms', '{}']);
  });

  it('lets the oldest go in a flood, counts them, and holds no more than the queue', async () => {
    const listener = await listen();
    const got = read(listener, 'flood', 'drop-oldest');
    const sensor = await client(listener);
    await Promise.all(Array.from({ length: 300 }, (_, at) => sensor.publishAsync('flood', String(at), { qos: 1 })));
    await until(() => got.entered === 300);
    expect(got.queue.length).toBe(5);
    expect(got.lost).toHaveLength(295);
  });

  it('has who publishes wait with block, and loses nothing', async () => {
    const listener = await listen();
    const got = read(listener, 'slow', 'block');
    const sensor = await client(listener);
    const all = Array.from({ length: 40 }, (_, at) => sensor.publishAsync('slow', String(at), { qos: 1 }));
    await until(() => got.queue.length === 5);
    await systemClock.sleep(50);
    expect(got.queue.length).toBe(5);
    // Another client goes on meanwhile.
    const other = read(listener, 'other', 'drop-oldest');
    await (await client(listener)).publishAsync('other', 'x', { qos: 1 });
    expect(await text(other)).toBe('other x');
    const order: string[] = [];
    for (let at = 0; at < 40; at++) order.push(await text(got));
    expect(order).toEqual(Array.from({ length: 40 }, (_, at) => `slow ${String(at)}`));
    await Promise.all(all);
    expect(got.lost).toEqual([]);
  });

  it('cuts off who sends a packet that is too large, before it has it', async () => {
    const listener = await listen();
    const got = read(listener, '#', 'drop-oldest');
    const sensor = await client(listener);
    const closed = new Promise<void>((resolve) => sensor.once('close', () => resolve()));
    sensor.on('error', () => undefined);
    sensor.publish('large', Buffer.alloc(70 * 1024));
    await closed;
    expect(got.entered).toBe(0);
  });

  it('keeps no session and no retained message', async () => {
    const listener = await listen();
    const first = await client(listener, { clientId: 'a', clean: false });
    await first.subscribeAsync('kept', { qos: 1 });
    await first.publishAsync('kept', 'x', { qos: 1, retain: true });
    await first.endAsync();
    await listener.publish('kept', Buffer.from('while away'));
    const again = await client(listener, { clientId: 'a', clean: false });
    const heard: string[] = [];
    again.on('message', (_topic, payload) => heard.push(String(payload)));
    await again.subscribeAsync('kept', { qos: 1 });
    await listener.publish('kept', Buffer.from('now'));
    await until(() => heard.length > 0);
    expect(heard).toEqual(['now']);
  });

  it('asks for a key as the password where others reach it, and ends who comes with one that was revoked', async () => {
    const keys = ['fsk_one', 'fsk_two'];
    const listener = await listen('0.0.0.0', keys);
    await expect(client(listener)).rejects.toThrow(/Not authorized|Bad user/i);
    await expect(client(listener, { username: 'x', password: 'wrong' })).rejects.toThrow(/Not authorized|Bad user/i);
    const one = await client(listener, { username: 'x', password: 'fsk_one' });
    const two = await client(listener, { username: 'x', password: 'fsk_two' });
    const ended = new Promise<void>((resolve) => one.once('close', () => resolve()));
    keys.shift();
    listener.keysChanged();
    await ended;
    await two.publishAsync('t', 'x', { qos: 1 });
  });
});

describe('a broker of the site', () => {
  it('is read and published to by routes that name it', async () => {
    const plant = await listen();
    const broker = new OutsideBroker({ url: `mqtt://127.0.0.1:${String(plant.port)}`, clientId: 'flotilla-cam-1' });
    undo.push(() => broker.close());
    const got = read(broker, 'plant/+', 'drop-oldest');
    const heard = read(plant, 'answers', 'drop-oldest');
    await until(() => broker.problem === undefined);
    expect(await broker.publish('answers', Buffer.from('first'))).toBeUndefined();
    expect(await text(heard)).toBe('answers first');
    await plant.publish('plant/3', Buffer.from('reading'));
    expect(await text(got)).toBe('plant/3 reading');
  });

  it('that is not there is told of, and what is for it is not lost by us', async () => {
    const broker = new OutsideBroker({ url: 'mqtt://127.0.0.1:1', clientId: 'flotilla-cam-1' });
    undo.push(() => broker.close());
    await until(() => broker.problem !== 'not connected yet');
    expect(await broker.publish('answers', Buffer.from('x'))).toMatch(/ECONNREFUSED|not connected|ended/);
  });
});
