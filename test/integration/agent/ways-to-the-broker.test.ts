/** A device's session on the real embedded broker, by each way that a site may leave open. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DeviceSession, type SessionOptions } from '#agent/link/device-session.js';
import { systemClock } from '#shared/kernel/clock.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import type { KeyedCertificate } from '#cloud/trust/certificates.js';
import { ownPort } from '#test/support/own-port.js';
import { openEmbeddedWebSocket } from '#test/support/broker-worlds.js';
import { connectProxy, type ConnectProxy } from '#test/support/connect-proxy.js';
import { addressOf, eventually, FleetWorld, silent } from '#test/support/fleet-world.js';
import { testAuthority, testCertificate } from '#test/support/test-certificates.js';

describe('a device finds its way to the broker', () => {
  let fleet: FleetWorld;
  let world: Awaited<ReturnType<typeof openEmbeddedWebSocket>>;
  let device: KeyedCertificate;
  let authorities: string[];
  const sessions: DeviceSession[] = [];
  const proxies: ConnectProxy[] = [];
  const none = { proxy: undefined, noProxy: '' };

  beforeEach(async () => {
    fleet = await FleetWorld.open();
    world = await openEmbeddedWebSocket(fleet);
    device = await fleet.enrol('a');
    authorities = [world.identity.authority];
  });
  afterEach(async () => {
    for (const session of sessions.splice(0)) await session.stop();
    for (const proxy of proxies.splice(0)) await proxy.close();
    await world.close();
    await fleet.close();
  });

  const start = (
    urls: string[],
    more: Partial<SessionOptions> = {},
  ): { session: DeviceSession; got: string[]; links: boolean[] } => {
    const got: string[] = [];
    const links: boolean[] = [];
    const session = new DeviceSession(
      {
        address: addressOf('a'),
        urls,
        serverName: controlPlaneServerName,
        proxy: none,
        bootId: 1,
        agentVersion: 'test',
        keepaliveSeconds: 30,
        reconnect: { baseMs: 20, maxMs: 50 },
        connectTimeoutMs: 5_000,
        ...more,
      },
      {
        clock: systemClock,
        random: Math.random,
        logger: silent,
        client: () => device,
        authorities: () => authorities,
        trustedNow: () => Number.NEGATIVE_INFINITY,
        onLink: (up) => links.push(up),
        onMessage: (_channel, _id, payload) => got.push(payload.toString()),
      },
    );
    sessions.push(session);
    session.start();
    return { session, got, links };
  };
  const mqtt = (host = '127.0.0.1', port = world.embedded.port): string => `mqtts://${host}:${String(port)}`;
  const webSocket = (host = '127.0.0.1'): string => `wss://${host}:${String(world.port)}/mqtt`;
  const talks = async ({ session, got }: ReturnType<typeof start>): Promise<void> => {
    await eventually('it is connected', () => session.connected);
    const large = Buffer.alloc(256 * 1024, 'x').toString();
    await world.broker.publish('flotilla/v1/w/a/acks', Buffer.from(large), { qos: 1, retain: false });
    await eventually('it hears', () => got.includes(large));
    expect(await session.publish('reported', { text: 'hello' })).toBe(true);
  };

  it('by WebSocket alone', async () => {
    await talks(start([webSocket()]));
  });

  it('by WebSocket when MQTT’s own port does not answer, and again after the connection was lost', async () => {
    const port = await ownPort();
    const linked = start([mqtt('127.0.0.1', port), webSocket()]);
    await talks(linked);
    await world.embedded.retired(addressOf('a'));
    await eventually('it noticed', () => linked.links.includes(false));
    await talks(linked);
  });

  it('by MQTT’s own port when the WebSocket does not answer', async () => {
    await talks(start([`wss://127.0.0.1:${String(world.port)}/elsewhere`, mqtt()]));
  });

  it.each(['mqtt', 'websocket'] as const)('through an HTTP proxy with a password, by %s', async (way) => {
    const proxy = await connectProxy('me:secret');
    proxies.push(proxy);
    const settings = { proxy: `http://me:secret@127.0.0.1:${String(proxy.port)}`, noProxy: '' };
    await talks(start([way === 'mqtt' ? mqtt('cloud.test') : webSocket('cloud.test')], { proxy: settings }));
    expect(proxy.asked.length).toBeGreaterThan(0);
  });

  it('and says why when there is none', async () => {
    const stranger = await testAuthority();
    authorities = [stranger.certificate];
    const { session } = start([mqtt(), webSocket()]);
    await eventually(
      'it says why',
      () => session.lastProblem?.includes('no authority that this device trusts') ?? false,
    );
    await session.stop();

    authorities = [world.identity.authority];
    device = await testCertificate({ commonName: 'w/a', usage: 'client' });
    for (const url of [mqtt(), webSocket()]) {
      const refused = start([url]);
      await eventually('it says why', () => /may not accept this device|401/.test(refused.session.lastProblem ?? ''));
    }
  });
});
