/** What one client cannot do to the embedded broker and the others on it, over real sockets of both kinds. */
import { connect } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { generate } from 'mqtt-packet';
import { WebSocket } from 'ws';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { maxMessageBytes } from '#shared/protocol/decode.js';
import { EmbeddedBroker } from '#cloud/mqtt/embedded-broker.js';
import type { KeyedCertificate } from '#cloud/trust/certificates.js';
import { ended, openEmbedded, openEmbeddedWebSocket, outcomeOf, testLimits } from '#test/support/broker-worlds.js';
import { eventually, FleetWorld } from '#test/support/fleet-world.js';

type World = Awaited<ReturnType<typeof openEmbedded>>;
const mebibyte = 1024 * 1024;
const stream = testLimits.stream;

/** Bytes in and out, with no MQTT library between. */
interface RawClient {
  write(bytes: Buffer): void;
  readonly answered: Promise<void>;
  readonly closed: Promise<void>;
  freeze(): void;
  destroy(): void;
}

const tlsOf = (world: World, who: KeyedCertificate | undefined) => ({
  host: '127.0.0.1',
  port: world.port,
  ca: world.identity.authority,
  servername: controlPlaneServerName,
  ...(who === undefined ? {} : { cert: who.certificate, key: who.privateKey }),
});

async function tlsSocket(world: World, who: KeyedCertificate | undefined): Promise<TLSSocket> {
  const socket = connectTls(tlsOf(world, who));
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', () => resolve());
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
  socket.on('error', () => undefined);
  return socket;
}

async function rawTls(world: World, who: KeyedCertificate): Promise<RawClient> {
  const socket = await tlsSocket(world, who);
  return {
    write: (bytes) => void socket.write(bytes),
    answered: new Promise((resolve) => socket.once('data', () => resolve())),
    closed: new Promise((resolve) => socket.once('close', () => resolve())),
    freeze: () => void socket.pause(),
    destroy: () => void socket.destroy(),
  };
}

async function rawWebSocket(world: World, who: KeyedCertificate): Promise<RawClient> {
  const client = new WebSocket(`wss://127.0.0.1:${String(world.port)}/mqtt`, ['mqtt'], tlsOf(world, who));
  await new Promise<void>((resolve, reject) => {
    client.once('open', () => resolve());
    client.once('error', reject);
  });
  client.on('error', () => undefined);
  return {
    write: (bytes) => client.send(bytes),
    answered: new Promise((resolve) => client.once('message', () => resolve())),
    closed: new Promise((resolve) => client.once('close', () => resolve())),
    freeze: () => client.pause(),
    destroy: () => client.terminate(),
  };
}

const connectPacket = (clientId: string, extra: object = {}): Buffer =>
  generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    clientId,
    keepalive: 600,
    ...extra,
  });
const publishPacket = (topic: string, payload: Buffer): Buffer =>
  generate({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false });

describe.each([
  { way: 'TLS', open: openEmbedded, raw: rawTls },
  { way: 'WebSocket', open: openEmbeddedWebSocket, raw: rawWebSocket },
])('the embedded broker’s limits over $way', ({ open, raw }) => {
  let fleet: FleetWorld;
  let world: World;
  let a: KeyedCertificate;
  let heard: number[];
  const start = async (limits: Partial<typeof testLimits> = {}): Promise<void> => {
    world = await open(fleet, limits);
    heard = [];
    world.broker.onMessage((_topic, payload) => heard.push(payload.length));
  };
  const accepted = async (who = a, id = 'w/a'): Promise<RawClient> => {
    const client = await raw(world, who);
    client.write(connectPacket(id));
    await client.answered;
    return client;
  };
  beforeEach(async () => {
    fleet = await FleetWorld.open();
    a = await fleet.enrol('a');
  });
  afterEach(async () => {
    await world.close();
    await fleet.close();
  });

  it('cuts off who announces a packet larger than any, before and after it was let in, and keeps nothing of it', async () => {
    await start();
    const before = process.memoryUsage().rss;
    for (const announcement of [
      [0x10, 0xff, 0xff, 0xff, 0x5f],
      [0x10, 0xff, 0xff, 0xff, 0xff],
    ]) {
      const client = await raw(world, a);
      client.write(Buffer.from(announcement));
      const flood = setInterval(() => client.write(Buffer.alloc(128 * 1024)), 1);
      await client.closed;
      clearInterval(flood);
    }
    const large = await raw(world, a);
    large.write(connectPacket('w/a', { username: 'w/a', password: Buffer.alloc(20_000) }));
    await large.closed;
    const device = await accepted();
    device.write(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x01]));
    await device.closed;
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * mebibyte);
  });

  it('serves others while one device stops reading, keeps at most 4 MiB for it, and then cuts it off', async () => {
    await start();
    const frozen = await accepted();
    const topic = 'flotilla/v1/w/a/blocks/data';
    frozen.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 0 }] }));
    const device = world.client(await fleet.enrol('b'), { clientId: 'w/b' });
    expect(await outcomeOf(device)).toBe('connected');
    await device.subscribeAsync('flotilla/v1/w/b/acks', { qos: 1 });
    let got = 0;
    device.on('message', () => {
      got += 1;
    });
    frozen.freeze();

    const under: Promise<void>[] = [];
    let [most, served] = [0, 0];
    // The system’s own buffers fill first; then our own, as far as they may, while another is served each time.
    while (world.embedded.connections === 2) {
      const frame = Buffer.alloc(256 * 1024);
      under.push(world.broker.publish(topic, frame, { qos: 0, retain: false }).catch(() => undefined));
      await world.broker.publish('flotilla/v1/w/b/acks', Buffer.from('x'), { qos: 1, retain: false });
      served += 1;
      await eventually('the other was served', () => got === served);
      most = Math.max(most, world.embedded.waitingBytes);
    }
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(4 * mebibyte);
    await Promise.all(under);
    expect(world.embedded.waitingBytes).toBe(0);
    frozen.destroy();
    device.end(true);
  });

  it('cuts off a device that takes nothing of what waits, however little that is', async () => {
    await start();
    const frozen = await accepted();
    const topic = 'flotilla/v1/w/a/blocks/data';
    frozen.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 0 }] }));
    await eventually('it is subscribed', async () => {
      await world.broker.publish(topic, Buffer.alloc(1), { qos: 0, retain: false });
      return true;
    });
    frozen.freeze();
    while (world.embedded.waitingBytes < 256 * 1024) {
      void world.broker.publish(topic, Buffer.alloc(64 * 1024), { qos: 0, retain: false }).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(world.embedded.connections).toBe(1);
    await eventually('it is gone', () => world.embedded.connections === 0);
    frozen.destroy();
  });

  it('reads a device no faster than it may send, and loses nothing of it', async () => {
    const flow = { messagesPerSecond: 200, bytesPerSecond: mebibyte, burstSeconds: 0.5 };
    await start({ stream: { ...stream, flow, maxThrottledMs: 60_000 } });
    const device = await accepted();
    const send = async (count: number): Promise<void> => {
      const from = heard.length;
      for (let n = 0; n < count; n++) device.write(publishPacket('flotilla/v1/w/a/telemetry', Buffer.alloc(10)));
      await eventually('all came', () => heard.length === from + count);
    };
    // What arrives in one piece is read in one piece, and paid for before the next one.
    const from = performance.now();
    await send(400);
    await send(1);
    expect(performance.now() - from).toBeGreaterThan(1_000);
    device.destroy();
  });

  it('cuts off a device that goes on sending faster than it may, and serves others meanwhile', async () => {
    const flow = { messagesPerSecond: 1_000, bytesPerSecond: 256 * 1024, burstSeconds: 0.5 };
    await start({ stream: { ...stream, flow, maxThrottledMs: 500 } });
    const noisy = await accepted();
    const packet = publishPacket('flotilla/v1/w/a/telemetry', Buffer.alloc(64 * 1024));
    const flood = setInterval(() => noisy.write(packet), 25);
    const device = world.client(await fleet.enrol('b'), { clientId: 'w/b' });
    expect(await outcomeOf(device)).toBe('connected');
    await device.publishAsync('flotilla/v1/w/b/events', 'x', { qos: 1 });
    await noisy.closed;
    clearInterval(flood);
    device.end(true);
  });

  it('refuses a device’s message above the limit of messages', async () => {
    await start();
    const device = world.client(a, { clientId: 'w/a' });
    expect(await outcomeOf(device)).toBe('connected');
    await device.publishAsync('flotilla/v1/w/a/telemetry', Buffer.alloc(maxMessageBytes), { qos: 1 });
    await eventually('the largest message came', () => heard.length === 1);
    device.publish('flotilla/v1/w/a/telemetry', Buffer.alloc(maxMessageBytes + 1), { qos: 1 });
    await ended(device);
    expect(heard).toEqual([maxMessageBytes]);
  });

  it('lets a device take over from itself only so often, which a stranger cannot use up', async () => {
    await start({ takeovers: { burst: 3, perSecond: 0.001 } });
    const b = await fleet.enrol('b');
    for (let n = 0; n < 5; n++) expect(await outcomeOf(world.client(b, { clientId: 'w/a' }))).toBe('refused');
    const outcomes: string[] = [];
    for (let n = 0; n < 4; n++) outcomes.push(await outcomeOf(world.client(a, { clientId: 'w/a' })));
    expect(outcomes).toEqual(['connected', 'connected', 'connected', 'refused']);
  });
});

describe('the embedded broker', () => {
  let fleet: FleetWorld;
  let world: World;
  let a: KeyedCertificate;
  const start = async (limits: Partial<typeof testLimits> = {}): Promise<void> => {
    world = await openEmbedded(fleet, limits);
  };
  beforeEach(async () => {
    fleet = await FleetWorld.open();
    a = await fleet.enrol('a');
  });
  afterEach(async () => {
    await world.close();
    await fleet.close();
  });

  it('refuses a retained message where none belongs, QoS 2, and a session that outlives its connection', async () => {
    await start();
    const heard: string[] = [];
    world.broker.onMessage((topic) => heard.push(topic));
    for (const options of [
      { qos: 1, retain: true },
      { qos: 2, retain: false },
    ] as const) {
      const device = world.client(a, { clientId: 'w/a' });
      expect(await outcomeOf(device)).toBe('connected');
      device.publish('flotilla/v1/w/a/telemetry', 'x', options);
      await ended(device);
    }
    expect(await outcomeOf(world.client(a, { clientId: 'w/a', clean: false }))).toBe('refused');
    expect(heard).toEqual([]);
  });

  it('takes no more subscriptions of a device than it may, and its own as often as it likes', async () => {
    await start();
    const device = world.client(a, { clientId: 'w/a' });
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
    const deep = `flotilla/v1/w/a/${'x/'.repeat(2_000)}`;
    await device.subscribeAsync(deep, { qos: 1 }).catch(() => undefined);
    await ended(device);
  });

  it.each([
    ['in all', { inAll: 2, perAddress: 100, strangersPerAddress: 100 }],
    ['of one address', { inAll: 100, perAddress: 2, strangersPerAddress: 100 }],
    ['that have not said who they are', { inAll: 100, perAddress: 100, strangersPerAddress: 2 }],
  ])('takes no more connections than it may, %s', async (_what, connections) => {
    await start({ connections });
    const first = [await tlsSocket(world, a), await tlsSocket(world, a)];
    await expect(tlsSocket(world, a)).rejects.toThrow();
    first[0]?.destroy();
    await eventually('its place is free', () =>
      tlsSocket(world, a).then(
        (socket) => void first.push(socket) === undefined,
        () => false,
      ),
    );
    for (const socket of first) socket.destroy();
  });

  it('drops a connection that opens no TLS session, and one that sends no CONNECT, after its time', async () => {
    await start({ connectTimeoutMs: 200 });
    const silent = connect(world.port, '127.0.0.1').resume();
    silent.on('error', () => undefined);
    await new Promise<void>((resolve) => silent.once('close', () => resolve()));
    const quiet = (await tlsSocket(world, a)).resume();
    await new Promise<void>((resolve) => quiet.once('close', () => resolve()));
  });

  it('names the port and the setting when its port is taken', async () => {
    await start();
    const options = Reflect.get(world.embedded, 'options') as Parameters<typeof EmbeddedBroker.create>[0];
    const second = await EmbeddedBroker.create({ ...options, port: world.port });
    await expect(second.open()).rejects.toMatchObject({ code: 'port.taken' });
  });
});

describe('MQTT over WebSocket', () => {
  let fleet: FleetWorld;
  let world: World;
  let a: KeyedCertificate;
  beforeEach(async () => {
    fleet = await FleetWorld.open();
    a = await fleet.enrol('a');
    world = await openEmbeddedWebSocket(fleet);
  });
  afterEach(async () => {
    await world.close();
    await fleet.close();
  });
  const statusOf = (who: KeyedCertificate | undefined, protocols: string[], headers = {}): Promise<number> => {
    const options = { ...tlsOf(world, who), headers };
    const client = new WebSocket(`wss://127.0.0.1:${String(world.port)}/mqtt`, protocols, options);
    client.on('error', () => undefined);
    return new Promise((resolve) => {
      client.once('open', () => {
        resolve(101);
        client.terminate();
      });
      client.once('unexpected-response', (request, response) => {
        resolve(response.statusCode ?? 0);
        request.destroy();
      });
    });
  };

  it('wants a verified certificate, the protocol, and no web page', async () => {
    expect(await statusOf(a, ['mqtt'])).toBe(101);
    expect(await statusOf(undefined, ['mqtt'])).toBe(401);
    expect(await statusOf(a, [])).toBe(400);
    expect(await statusOf(a, ['chat'])).toBe(400);
    expect(await statusOf(a, ['mqtt'], { origin: 'https://evil.example' })).toBe(403);
  });

  it('ends for a text message', async () => {
    const client = new WebSocket(`wss://127.0.0.1:${String(world.port)}/mqtt`, ['mqtt'], tlsOf(world, a));
    client.once('open', () => client.send('CONNECT'));
    await new Promise<void>((resolve) => client.once('close', () => resolve()));
  });
});
