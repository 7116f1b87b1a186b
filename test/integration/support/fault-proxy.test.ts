import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FaultProxy } from '../../support/network/fault-proxy.js';
import { eventually } from '../../support/fleet-world.js';

/** Long enough for loopback to have carried what it would carry. */
const aWhileMs = 150;

describe('the fault proxy', () => {
  let server: Server;
  let proxy: FaultProxy;
  let heard: string;
  let accepted: Socket[];
  let got: string;

  beforeEach(async () => {
    heard = '';
    got = '';
    accepted = [];
    server = createServer((socket) => {
      accepted.push(socket);
      socket.on('error', () => undefined);
      socket.on('data', (data) => {
        heard += data.toString();
        socket.write(`echo:${data.toString()}`);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const target = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
    proxy = await FaultProxy.open({ target, random: Math.random });
  });
  afterEach(async () => {
    await proxy.close();
    for (const socket of accepted) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  const open = async (): Promise<Socket> => {
    const client = connect(proxy.port, '127.0.0.1');
    client.on('data', (data) => {
      got += data.toString();
    });
    client.on('error', () => undefined);
    await new Promise((resolve) => client.once('connect', resolve));
    return client;
  };

  it('carries both directions, and counts them', async () => {
    const client = await open();
    client.write('hello');
    await eventually('the echo comes', () => got === 'echo:hello');
    expect(proxy.bytes).toEqual({ up: 5, down: 10 });
    client.destroy();
  });

  it('says nothing to anybody while silent, keeps the connection, and delivers what it held', async () => {
    const client = await open();
    client.write('a');
    await eventually('the first echo comes', () => got === 'echo:a');
    proxy.setState('silent');
    client.write('b');
    await pause(aWhileMs);
    expect({ heard, got, destroyed: client.destroyed }).toEqual({ heard: 'a', got: 'echo:a', destroyed: false });
    proxy.setState('pass');
    await eventually('the held echo comes', () => got === 'echo:aecho:b');
    client.destroy();
  });

  it('lets the server learn of no connection that is made while it is silent, until it speaks again', async () => {
    proxy.setState('silent');
    const client = await open();
    client.write('x');
    await pause(aWhileMs);
    expect(accepted).toEqual([]);
    proxy.setState('pass');
    await eventually('the echo comes', () => got === 'echo:x');
    client.destroy();
  });

  it('is heard and hears nothing when half open', async () => {
    const client = await open();
    client.write('a');
    await eventually('the first echo comes', () => got === 'echo:a');
    proxy.setState('half-open');
    client.write('b');
    await eventually('the server hears', () => heard === 'ab');
    await pause(aWhileMs);
    expect(got).toBe('echo:a');
    client.destroy();
  });

  it('resets what there is and what comes when it refuses', async () => {
    const client = await open();
    client.write('a');
    await eventually('the echo comes', () => got === 'echo:a');
    const closed = new Promise<boolean>((resolve) => client.once('close', resolve));
    proxy.setState('refuse');
    expect(await closed).toBe(true);
    const next = connect(proxy.port, '127.0.0.1');
    expect(
      await new Promise((resolve) => next.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))),
    ).toBe('ECONNRESET');
  });

  it('passes on the end of either side', async () => {
    const client = await open();
    client.write('a');
    await eventually('the echo comes', () => got === 'echo:a');
    accepted[0]?.end();
    await new Promise((resolve) => client.once('end', resolve));
    client.destroy();
  });
});
