import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import type { FrontReplica } from '#cloud/services/front/front-table.js';
import { deployment, FrontWorld, frontKey } from '#test/support/front-world.js';
import { readResponses, sendRaw } from '#test/support/raw-http.js';

const largeBytes = 16 * 1024 * 1024;

let world: FrontWorld;
let replica: FrontReplica;
let laterMs = 0;
/** Paths in the order in which the replica was asked, and the connections that it was asked over. */
let asked: string[] = [];
let sockets = new Set<unknown>();
beforeAll(async () => {
  const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + laterMs };
  world = await FrontWorld.open({ clock });
  replica = await world.replica((request, response) => {
    asked.push(request.url ?? '');
    sockets.add(request.socket);
    request.resume();
    request.on('end', () => response.end(request.url === '/score?large' ? Buffer.alloc(largeBytes, 'x') : request.url));
  });
  world.apply([deployment('blue', [replica])]);
});
afterAll(() => world.end());
beforeEach(() => {
  asked = [];
  sockets = new Set();
});

function post(path: string, body: string, key = frontKey): string {
  const length = String(Buffer.byteLength(body));
  return `POST /endpoints/main/fraud${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${key}\r\ncontent-length: ${length}\r\n\r\n${body}`;
}

async function answersTo(...parts: string[]): Promise<readonly string[]> {
  const chunks = parts.map((part) => Buffer.from(part));
  const { received } = await sendRaw(world.address.port, { chunks, pauseMs: 10 }, 5000);
  return readResponses(received).map(({ status, body }) => `${String(status)} ${body.toString()}`);
}

describe('a client’s connection', () => {
  it('is told how long it may rest', async () => {
    const { received } = await sendRaw(world.address.port, { chunks: [Buffer.from(post('/score', '{}'))] }, 5000);
    const [answer] = readResponses(received);
    expect(answer?.headers).toMatchObject({ connection: 'keep-alive', 'keep-alive': 'timeout=75' });
  });

  it('is closed behind the last answer that its client wants', async () => {
    const last = post('/score', '{}').replace('host:', 'connection: close\r\nhost:');
    const { received, closed } = await sendRaw(
      world.address.port,
      { chunks: [Buffer.from(last + post('/score?more', '{}'))] },
      5000,
    );
    expect([readResponses(received).map(({ headers }) => headers['connection']), closed]).toEqual([['close'], true]);
    expect(asked).toEqual(['/score']);
  });

  it('may bring many requests at once: each is worked on when the one before is answered', async () => {
    const paths = Array.from({ length: 20 }, (_each, index) => `/score?${String(index)}`);
    expect(await answersTo(paths.map((path) => post(path, path)).join(''))).toEqual(paths.map((path) => `200 ${path}`));
    expect(asked).toEqual(paths);
  });

  it('goes on behind a request that was refused before its body came', async () => {
    const refused = post('/score', 'a body', 'no-key');
    const [head, body] = [refused.slice(0, -'body'.length), 'body'];
    const answers = await answersTo(head, body + post('/score?next', '{}'));
    expect(answers.map((answer) => answer.slice(0, 3))).toEqual(['401', '200']);
    expect(asked).toEqual(['/score?next']);
  });

  it('holds a large answer back while its client does not read', async () => {
    const socket = connect(world.address.port, '127.0.0.1');
    socket.pause();
    socket.write(post('/score?large', '{}'));
    await expect.poll(() => world.front.outstandingOf(replica.id)).toBe(1);
    await sleep(50);
    expect(world.front.outstandingOf(replica.id)).toBe(1);
    let received = 0;
    socket.on('data', (chunk: Buffer) => (received += chunk.length));
    socket.resume();
    await expect.poll(() => received).toBeGreaterThan(largeBytes);
    socket.destroy();
  });
});

describe('a connection to a replica', () => {
  it('is used again within half the time that the replica keeps it, and not later', async () => {
    // Node's servers say five seconds.
    await world.score();
    laterMs += 2000;
    await world.score();
    expect(sockets.size).toBe(1);
    laterMs += 2600;
    await world.score();
    expect(sockets.size).toBe(2);
  });
});
