import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { secureConnect } from '#agent/link/secure-connect.js';
import { openTunnel } from '#agent/link/tunnel.js';
import { connectProxy, type ConnectProxy } from '#test/support/connect-proxy.js';
import { type TestCertificate, testAuthority, testCertificate } from '#test/support/test-certificates.js';

const name = 'control-plane.flotilla.internal';
const patience = { timeoutMs: 5_000 };
const none = { proxy: undefined, noProxy: '' };

describe('a connection to the control plane', () => {
  let authority: TestCertificate;
  let device: TestCertificate;
  let server: Server;
  const got: { name: string | undefined; bytes: string }[] = [];
  const servers: Server[] = [];

  const serve = async (leaf: TestCertificate): Promise<number> => {
    const listening = createServer(
      {
        cert: leaf.certificate,
        key: leaf.privateKey,
        ca: authority.certificate,
        requestCert: true,
        rejectUnauthorized: false,
      },
      (socket: TLSSocket) => {
        const peer = socket.getPeerCertificate() as { subject?: { CN?: string } };
        const seen = { name: peer.subject?.CN, bytes: '' };
        got.push(seen);
        socket.on('error', () => undefined);
        socket.on('data', (bytes: Buffer) => {
          seen.bytes += bytes.toString();
          socket.write(`heard ${seen.bytes}`);
        });
      },
    );
    servers.push(listening);
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    return (listening.address() as AddressInfo).port;
  };
  const target = (port: number) => ({
    host: '127.0.0.1',
    port,
    expected: { authorities: [authority.certificate], name, trustedNow: Number.NEGATIVE_INFINITY },
    client: device,
  });
  const portOf = (of: Server): number => (of.address() as AddressInfo).port;

  beforeAll(async () => {
    authority = await testAuthority();
    device = await testCertificate({ commonName: 'w/a', issuer: authority, usage: 'client' });
    const leaf = await testCertificate({ commonName: 'server', issuer: authority, names: [name], usage: 'server' });
    await serve(leaf);
    const [first] = servers;
    if (first) server = first;
  });
  afterAll(() => {
    for (const one of servers) one.close();
  });

  it('shows the device’s certificate and carries bytes both ways', async () => {
    const socket = await secureConnect(target(portOf(server)), none, patience);
    socket.write('hello');
    const answer = await new Promise<string>((resolve) =>
      socket.once('data', (bytes: Buffer) => resolve(bytes.toString())),
    );
    expect(answer).toBe('heard hello');
    expect(got.at(-1)?.name).toBe('w/a');
    socket.destroy();
  });

  it('sends nothing to a server of another authority, and says what it found', async () => {
    const stranger = await testAuthority();
    const port = await serve(
      await testCertificate({ commonName: 'server', issuer: stranger, names: [name], usage: 'server' }),
    );
    const before = got.length;
    await expect(secureConnect(target(port), none, patience)).rejects.toMatchObject({
      code: 'server.untrusted',
      message: expect.stringContaining('no authority that this device trusts') as string,
    });
    expect(got.slice(before).filter(({ bytes }) => bytes !== '')).toEqual([]);
  });

  it('takes a server whose certificate ended by the wall clock, when the trusted time does not say so', async () => {
    const day = 86_400_000;
    const [from, to] = [Date.now() - 20 * day, Date.now() - 10 * day];
    const port = await serve(
      await testCertificate({ commonName: 'server', issuer: authority, names: [name], usage: 'server', from, to }),
    );
    (await secureConnect(target(port), none, patience)).destroy();
    const late = target(port);
    await expect(
      secureConnect({ ...late, expected: { ...late.expected, trustedNow: Date.now() } }, none, patience),
    ).rejects.toMatchObject({ code: 'server.untrusted', message: expect.stringContaining('ended on') as string });
  });

  it('gives up on a server that accepts and then says nothing', async () => {
    const silent = createTcpServer(() => undefined);
    servers.push(silent);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    await expect(secureConnect(target(portOf(silent)), none, { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'server.unreachable',
      message: expect.stringContaining('no TLS session in time') as string,
    });
  });

  it('ends at once when it is given up', async () => {
    const silent = createTcpServer(() => undefined);
    servers.push(silent);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const stopping = new AbortController();
    const opening = secureConnect(target(portOf(silent)), none, { timeoutMs: 60_000, signal: stopping.signal });
    setTimeout(() => stopping.abort(), 20);
    await expect(opening).rejects.toMatchObject({ code: 'server.unreachable' });
  });

  describe('through an HTTP proxy', () => {
    const proxies: ConnectProxy[] = [];
    afterAll(async () => {
      for (const proxy of proxies) await proxy.close();
    });
    const open = async (credentials?: string): Promise<ConnectProxy> => {
      const proxy = await connectProxy(credentials);
      proxies.push(proxy);
      return proxy;
    };
    // Only the proxy knows that name.
    const tunnelled = (port: number, proxy: ConnectProxy, user = '') =>
      openTunnel(
        { host: 'cloud.test', port },
        { proxy: `http://${user}127.0.0.1:${String(proxy.port)}`, noProxy: '' },
        patience,
      );

    it('reaches the server by a tunnel, TLS verified inside it', async () => {
      const proxy = await open();
      const settings = { proxy: `http://127.0.0.1:${String(proxy.port)}`, noProxy: '' };
      const socket = await secureConnect({ ...target(portOf(server)), host: 'cloud.test' }, settings, patience);
      socket.write('through');
      await new Promise((resolve) => socket.once('data', resolve));
      expect(proxy.asked).toEqual([`cloud.test:${String(portOf(server))}`]);
      expect(got.at(-1)).toEqual({ name: 'w/a', bytes: 'through' });
      socket.destroy();
    });

    it('gives user and password, and says so when they are missing or wrong, without repeating them', async () => {
      const proxy = await open('me:secret');
      (await tunnelled(portOf(server), proxy, 'me:secret@')).destroy();
      for (const user of ['', 'me:wrong-password@']) {
        const error: unknown = await tunnelled(portOf(server), proxy, user).catch((reason: unknown) => reason);
        expect(String(error)).toContain('wants a user and a password');
        expect(String(error)).not.toContain('wrong-password');
      }
    });

    it('says when the proxy refuses the port', async () => {
      const proxy = await open();
      await expect(tunnelled(1, proxy)).rejects.toMatchObject({
        code: 'server.unreachable',
        message: expect.stringMatching(/HTTP status 502.*allow CONNECT/) as string,
      });
    });

    it.each([
      ['speaks no HTTP', 'SSH-2.0-x\r\n\r\n', 'does not speak HTTP'],
      ['never ends its answer', `HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(10_000)}`, 'longer than any'],
      ['closes at once', '', 'closed'],
    ])('fails on something that %s', async (_what, answer, message) => {
      const other = createTcpServer((socket) => {
        socket.on('error', () => undefined);
        socket.end(answer);
      });
      servers.push(other);
      await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
      const proxy = { port: portOf(other) } as ConnectProxy;
      await expect(tunnelled(443, proxy)).rejects.toMatchObject({
        code: 'server.unreachable',
        message: expect.stringContaining(message) as string,
      });
    });
  });
});
