import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { generate } from 'mqtt-packet';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { maxMessageBytes } from '#shared/protocol/decode.js';
import type { EmbeddedBroker } from '#cloud/mqtt/embedded-broker.js';
import { type BrokerWorld, ended, openEmbedded, outcomeOf } from '#test/support/broker-worlds.js';
import { eventually, FleetWorld } from '#test/support/fleet-world.js';

describe('the embedded broker’s limits', () => {
  let world: FleetWorld;
  let brokers: BrokerWorld;
  let password: string;
  const heard: number[] = [];
  beforeEach(async () => {
    world = await FleetWorld.open();
    password = await world.enrol('a');
    brokers = await openEmbedded(world, 3);
    heard.length = 0;
    brokers.broker.onMessage((_topic, payload) => heard.push(payload.length));
  });
  afterEach(async () => {
    await brokers.close();
    await world.close();
  });

  const rawSocket = async (): Promise<TLSSocket> => {
    const socket = connectTls({
      host: '127.0.0.1',
      port: brokers.port,
      ca: brokers.identity.authority,
      servername: controlPlaneServerName,
    });
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', () => resolve());
      socket.once('error', reject);
    });
    socket.on('error', () => undefined);
    return socket;
  };
  const closed = (socket: TLSSocket): Promise<void> => new Promise((resolve) => socket.once('close', () => resolve()));
  const connectPacket = (clientId: string, secret: string): Buffer =>
    generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      clientId,
      keepalive: 60,
      username: clientId,
      password: Buffer.from(secret),
    });

  it('cuts a stranger off who announces a packet of 200 MB, and keeps nothing of what follows', async () => {
    const before = process.memoryUsage().rss;
    const socket = await rawSocket();
    const gone = closed(socket);
    socket.write(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x5f]));
    const flood = setInterval(() => socket.write(Buffer.alloc(1024 * 1024)), 1);
    await gone;
    clearInterval(flood);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024);
  });

  it('cuts a stranger off for a CONNECT larger than any that we make', async () => {
    const socket = await rawSocket();
    const gone = closed(socket);
    socket.write(connectPacket('w/a', 'x'.repeat(20_000)));
    await gone;
  });

  it('cuts a device off for a packet larger than any on the wire', async () => {
    const socket = await rawSocket();
    const gone = closed(socket);
    socket.write(connectPacket('w/a', password));
    await new Promise<void>((resolve) => socket.once('data', () => resolve()));
    socket.write(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x01]));
    await gone;
  });

  it('refuses a device’s message above the limit of messages', async () => {
    const device = brokers.client({ clientId: 'w/a', username: 'w/a', password });
    expect(await outcomeOf(device)).toBe('connected');
    await device.publishAsync('flotilla/v1/w/a/telemetry', Buffer.alloc(maxMessageBytes), { qos: 1 });
    await eventually('the largest message came', () => heard.length === 1);
    device.publish('flotilla/v1/w/a/telemetry', Buffer.alloc(maxMessageBytes + 1), { qos: 1 });
    await ended(device);
    expect(heard).toEqual([maxMessageBytes]);
  });

  it('refuses a retained message where none belongs, and QoS 2', async () => {
    for (const options of [
      { qos: 1, retain: true },
      { qos: 2, retain: false },
    ] as const) {
      const device = brokers.client({ clientId: 'w/a', username: 'w/a', password });
      expect(await outcomeOf(device)).toBe('connected');
      device.publish('flotilla/v1/w/a/telemetry', 'x', options);
      await ended(device);
    }
    expect(heard).toEqual([]);
  });

  it('takes no more subscriptions of a device than it may, and its own as often as it likes', async () => {
    const device = brokers.client({ clientId: 'w/a', username: 'w/a', password });
    expect(await outcomeOf(device)).toBe('connected');
    const subscribe = (n: number): Promise<boolean> =>
      device.subscribeAsync(`flotilla/v1/w/a/commands/none-${String(n)}/request`, { qos: 1 }).then(
        () => true,
        () => false,
      );
    const granted: boolean[] = [];
    for (let n = 0; n < 100; n++) granted.push(await subscribe(n));
    expect(granted.filter(Boolean)).toHaveLength(64);
    expect(await subscribe(0)).toBe(true);
    device.end(true);
  });

  it('takes no more connections than it may', async () => {
    const first = await Promise.all([rawSocket(), rawSocket(), rawSocket()]);
    await expect(
      rawSocket().then((socket) => closed(socket).then(() => Promise.reject(new Error('closed')))),
    ).rejects.toThrow();
    for (const socket of first) socket.destroy();
  });

  it('serves others while one device stops reading', async () => {
    const frozen = await rawSocket();
    frozen.write(connectPacket('w/a', password));
    await new Promise<void>((resolve) => frozen.once('data', () => resolve()));
    frozen.write(
      generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'flotilla/v1/w/a/blocks/data', qos: 0 }] }),
    );
    await new Promise<void>((resolve) => frozen.once('data', () => resolve()));
    frozen.pause();
    const other = await world.enrol('b');
    const device = brokers.client({ clientId: 'w/b', username: 'w/b', password: other });
    expect(await outcomeOf(device)).toBe('connected');
    await device.subscribeAsync('flotilla/v1/w/b/acks', { qos: 1 });
    const got: string[] = [];
    device.on('message', (_topic, payload) => got.push(payload.toString()));

    const flood = Array.from({ length: 64 }, () =>
      brokers.broker.publish('flotilla/v1/w/a/blocks/data', Buffer.alloc(256 * 1024), { qos: 0, retain: false }),
    );
    await brokers.broker.publish('flotilla/v1/w/b/acks', Buffer.from('through'), { qos: 1, retain: false });
    await eventually('the other was served', () => got.includes('through'));
    // The one that does not read is cut off, and what waited for it ends.
    await Promise.allSettled(flood);
    await eventually('only one is left', () => (brokers.broker as EmbeddedBroker).connections === 1);
    device.end(true);
    frozen.destroy();
  });

  it('names the port and the setting when its port is taken', async () => {
    const { EmbeddedBroker: Broker } = await import('#cloud/mqtt/embedded-broker.js');
    const second = await Broker.create({
      ...(Reflect.get(brokers.broker, 'options') as Parameters<typeof Broker.create>[0]),
      port: brokers.port,
    });
    await expect(second.open()).rejects.toMatchObject({ code: 'port.taken' });
  });
});
