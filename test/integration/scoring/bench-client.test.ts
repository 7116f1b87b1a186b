import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { ask, postRequest } from '#test/bench/http-client.js';
import { closedLoad, openLoad } from '#test/bench/load.js';

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(answer: (count: number) => { status: number; body: string; close?: boolean }): Promise<number> {
  let count = 0;
  const server = createServer((request, response) => {
    request.resume().once('end', () => {
      count += 1;
      const { status, body, close } = answer(count);
      response.writeHead(status, { 'content-length': body.length, ...(close ? { connection: 'close' } : {}) });
      response.end(body);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

const request = postRequest('/', { 'content-type': 'application/json' }, Buffer.from('{}'));

describe('load client', () => {
  it('keeps the body of an answer that closes its connection, larger than one read', async () => {
    const body = 'x'.repeat(300_000);
    const port = await serve(() => ({ status: 200, body, close: true }));
    const answer = await ask(port, request);
    expect(answer.status).toBe(200);
    expect(answer.body.toString()).toBe(body);
  });

  it('opens a connection again that the server closed, and counts no failure', async () => {
    const port = await serve((count) => ({ status: 200, body: 'ok', close: count % 2 === 0 }));
    const result = await closedLoad({ port, request }, 2, 0.1);
    expect(result.failures).toBe(0);
    expect(result.answers).toBeGreaterThan(2);
  });

  it('counts what is no 200 as a failure, and says which', async () => {
    const port = await serve((count) => ({ status: count === 3 ? 503 : 200, body: 'ok' }));
    const result = await closedLoad({ port, request }, 1, 0.1);
    expect(result).toMatchObject({ failures: 1, failure: 'status 503' });
  });

  it('sends as many requests as the rate says, where nobody listens as well', async () => {
    const port = await serve(() => ({ status: 200, body: 'ok' }));
    expect(await openLoad({ port, request }, 100, 0.2)).toMatchObject({ answers: 20, failures: 0 });
    for (const server of servers.splice(0)) server.close();
    const refused = await openLoad({ port, request }, 100, 0.1);
    expect(refused).toMatchObject({ answers: 0, failures: 10 });
  });
});
