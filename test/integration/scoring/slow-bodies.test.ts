import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { digits, post, Scoring } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterAll(() => scoring.end());

const image = [[Array.from({ length: 8 }, () => Array.from({ length: 8 }, () => 1))]];
const mebibytes = 1024 * 1024;

describe('clients that declare large bodies and send next to nothing', () => {
  const sockets: Socket[] = [];
  let url = '';
  let port = 0;
  beforeAll(async () => {
    const bodyPace = { graceMs: 1500, bytesPerSecond: 1024 };
    ({ url, port } = await scoring.serve([digits], { maxBodyBytes: 64 * mebibytes, bodyPace }));
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
  });

  function slowClient(): { readonly answer: Promise<string>; readonly socket: Socket } {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    socket.write(`POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${String(64 * mebibytes)}\r\n\r\n{`);
    const answer = new Promise<string>((resolve) => {
      let text = '';
      socket.on('data', (chunk) => (text += chunk.toString()));
      socket.on('error', () => undefined);
      socket.once('close', () => resolve(text));
    });
    return { socket, answer };
  }

  it('do not keep small requests out, and are given up themselves', async () => {
    const slow = Array.from({ length: 5 }, slowClient);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const small = await Promise.all(Array.from({ length: 8 }, () => post(`${url}/score`, { image })));
    expect(small.map(({ status }) => status)).toEqual(small.map(() => 200));
    slow[4]?.socket.destroy();
    const answers = await Promise.all(slow.slice(0, 4).map(({ answer }) => answer));
    for (const answer of answers) {
      expect(answer).toMatch(/^HTTP\/1.1 408 /);
      expect(answer).toMatch(/\r\nconnection: close\r\n/i);
      expect(answer).toContain('{"message":"the body came too slowly');
    }
    const large = await post(`${url}/score`, `{${' '.repeat(mebibytes)}"image":${JSON.stringify(image)}}`);
    expect(large.status).toBe(200);
  });

  it('are told that it is a body too many, where the room is taken', async () => {
    const slow = Array.from({ length: 4 }, slowClient);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const large = await post(`${url}/score`, `{${' '.repeat(mebibytes)}"image":${JSON.stringify(image)}}`);
    expect([large.status, large.headers.get('retry-after')]).toEqual([429, '1']);
    await Promise.all(slow.map(({ answer }) => answer));
  });

  it('are refused before a byte is read, where they declare more than the limit', async () => {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    socket.write(`POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${String(65 * mebibytes)}\r\n\r\n`);
    const first = await new Promise<string>((resolve) => socket.once('data', (chunk) => resolve(chunk.toString())));
    expect(first).toMatch(/^HTTP\/1.1 413 /);
  });

  it('get words on either face for a request that cannot be read', async () => {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    socket.write(`GET / HTTP/1.1\r\nhost: localhost\r\n${'a: b\r\n'.repeat(100_000)}\r\n`);
    socket.on('error', () => undefined);
    const first = await new Promise<string>((resolve) => socket.once('data', (chunk) => resolve(chunk.toString())));
    expect(first).toMatch(/^HTTP\/1.1 431 /);
    expect(first).toMatch(/\{"error":".*","message":".*"\}$/);
    expect((await post(`${url}/score`, { image })).status).toBe(200);
  });
});
