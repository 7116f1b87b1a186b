/** What a broker in the wrong hands sends to a device: the session gives up before memory does. */
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { generate } from 'mqtt-packet';
import { DeviceSession } from '#agent/link/device-session.js';
import { systemClock } from '#shared/kernel/clock.js';
import { createLogger } from '#shared/platform/logger.js';
import { maxPacketBytes } from '#shared/protocol/frame-guard.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { address, FakeCloud, until } from '#test/support/agent/fake-cloud.js';

describe('a device on a hostile broker', () => {
  let cloud: FakeCloud;
  let server: Server;
  let session: DeviceSession;
  let onConnect: (socket: TLSSocket) => void;
  let closed: number;
  const received: number[] = [];

  beforeEach(async () => {
    cloud = await FakeCloud.start();
    closed = 0;
    received.length = 0;
    server = createServer(cloud.serverTls, (socket) => {
      socket.on('error', () => undefined);
      socket.once('close', () => {
        closed += 1;
      });
      socket.once('data', () => {
        socket.write(generate({ cmd: 'connack', returnCode: 0, sessionPresent: false }));
        onConnect(socket);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = await cloud.deviceCertificate();
    session = new DeviceSession(
      {
        address,
        urls: [`mqtts://127.0.0.1:${String((server.address() as AddressInfo).port)}`],
        serverName: controlPlaneServerName,
        proxy: { proxy: undefined, noProxy: '' },
        bootId: 1,
        agentVersion: '0.0.0',
        keepaliveSeconds: 30,
        reconnect: { baseMs: 60_000, maxMs: 60_000 },
        connectTimeoutMs: 5_000,
      },
      {
        clock: systemClock,
        random: Math.random,
        logger: createLogger('test', { level: 'silent', pretty: false }),
        client: () => client,
        authorities: () => [cloud.authorityPem],
        trustedNow: () => Number.NEGATIVE_INFINITY,
        onLink: () => undefined,
        onMessage: (_channel, _id, payload) => received.push(payload.length),
      },
    );
  });
  afterEach(async () => {
    await session.stop();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await cloud.close();
  });

  it('ends the connection for a packet of 256 MB as soon as it is announced', async () => {
    onConnect = (socket) => socket.write(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]));
    session.start();
    await until('cut off', () => closed === 1);
    expect(session.lastProblem).toContain('larger than any that belongs here');
    expect(received).toEqual([]);
  });

  it('takes the largest packet that belongs on the wire', async () => {
    const topic = `flotilla/v1/${address.workspace}/${address.device}/blocks/data`;
    const payload = Buffer.alloc(maxPacketBytes - Buffer.byteLength(topic) - 2);
    onConnect = (socket) =>
      socket.write(generate({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false }));
    session.start();
    await until('it came', () => received.length === 1);
    expect(received).toEqual([payload.length]);
  });
});
