import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import { downloadFile, uploadFile } from '#cloud/client/blob-transfer.js';
import { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { fillPath, routes } from '#cloud/client/routes.js';

type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void | Promise<void>;

let server: Server;
let handler: Handler;
let requests: string[];
let stop: AbortController;
let client: FlotillaClient;
let folder: string;
beforeEach(async () => {
  requests = [];
  stop = new AbortController();
  folder = await mkdtemp(join(tmpdir(), 'flotilla-client-'));
  server = createServer((request, response) => {
    requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
    void handler(request, response, requests.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  client = new FlotillaClient({
    url: new URL(`http://127.0.0.1:${String(port)}`),
    token: 'flt_secret',
    workspace: 'default',
    userAgent: 'test',
    clock: systemClock,
    random: () => 0,
    signal: stop.signal,
  });
});
afterEach(async () => {
  client.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

const json = (response: ServerResponse, body: unknown, status = 200): void => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
};
const workspace = { name: 'default', createdAt: '2026-01-02T03:04:05.678Z' };
const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const ignore = (): void => undefined;

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe('a call', () => {
  it('follows pages to the end, and drops fields of a newer server', async () => {
    handler = (request, response) => {
      const cursor = new URL(request.url ?? '', 'http://a').searchParams.get('cursor');
      const items = [{ ...workspace, novelty: 1 }];
      json(response, cursor === null ? { items, next: 'n&1' } : { items });
    };
    expect(await client.list(routes.workspaceList, {})).toEqual([workspace, workspace]);
    expect(requests).toEqual(['GET /v1/workspaces?limit=500', 'GET /v1/workspaces?limit=500&cursor=n%261']);
  });

  it('is repeated when the connection broke and nothing can happen twice', async () => {
    handler = (request, response, count) => (count < 3 ? void request.socket.destroy() : json(response, { items: [] }));
    expect(await client.list(routes.workspaceList, {})).toEqual([]);
    expect(requests).toHaveLength(3);
  });

  it('is given up after three attempts', async () => {
    handler = (request) => void request.socket.destroy();
    await expect(client.list(routes.workspaceList, {})).rejects.toMatchObject({ code: 'server.unreachable' });
    expect(requests).toHaveLength(3);
  });

  it.each([
    ['POST', () => client.call(routes.workspaceCreate, { body: { name: 'a' } })],
    ['DELETE', () => client.call(routes.workspaceDelete, { params: { name: 'a' } })],
    [
      'PUT of a deployment',
      () => client.call(routes.modulePut, { params: { device: 'a', module: 'b' }, body: { image: 'a:1' } }),
    ],
  ])('is made once when it changes something: %s', async (_method, call) => {
    handler = (request) => void request.socket.destroy();
    await expect(call()).rejects.toMatchObject({ code: 'server.unreachable' });
    expect(requests).toHaveLength(1);
  });

  it('is not repeated for an answer that says no', async () => {
    handler = (_request, response) => json(response, { code: 'internal', message: 'broke', requestId: 'r' }, 500);
    await expect(client.list(routes.workspaceList, {})).rejects.toMatchObject({ code: 'internal', message: 'broke' });
    expect(requests).toHaveLength(1);
  });

  it.each([
    ['of another form', (response: ServerResponse) => json(response, { things: [] })],
    ['that is no JSON', (response: ServerResponse) => void response.end('<html>')],
    ['that is empty', (response: ServerResponse) => void response.end()],
  ])('says that versions differ for an answer %s', async (_form, answer) => {
    handler = (_request, response) => answer(response);
    await expect(client.list(routes.workspaceList, {})).rejects.toMatchObject({ code: 'server.incompatible' });
  });

  it('ends when the client is interrupted', async () => {
    handler = () => stop.abort();
    await expect(client.list(routes.workspaceList, {})).rejects.toMatchObject({ code: 'request.aborted' });
  });

  it('escapes what stands in its path', () => {
    expect(fillPath('/v1/:a/x/:b', { a: '../../c', b: 'd?e#f' })).toBe('/v1/..%2F..%2Fc/x/d%3Fe%23f');
  });
});

describe('an upload', () => {
  const bytes = Buffer.alloc(3_000_000, 'x');
  const digest = digestOf(bytes);
  let path: string;
  beforeEach(async () => {
    path = join(folder, 'file');
    await writeFile(path, bytes);
  });
  const absent = (response: ServerResponse): void => void response.writeHead(404).end();

  it('streams the file with its length, and tells how far it is', async () => {
    let received: Buffer = Buffer.alloc(0);
    let head: IncomingMessage['headers'] = {};
    handler = async (request, response) => {
      if (request.method === 'HEAD') return absent(response);
      head = request.headers;
      received = await bodyOf(request);
      json(response, {}, 201);
    };
    const seen: number[] = [];
    expect(await uploadFile(client, { path, digest, size: bytes.length }, (done) => seen.push(done))).toBe(true);
    expect(digestOf(received)).toBe(digest);
    expect(head).toMatchObject({
      'content-length': '3000000',
      'content-type': 'application/octet-stream',
      authorization: 'Bearer flt_secret',
    });
    expect(seen.at(-1)).toBe(bytes.length);
    expect(seen.length).toBeGreaterThan(10);
  });

  it('is not made of what the server has', async () => {
    handler = (_request, response) => void response.writeHead(200, { 'content-length': '3000000' }).end();
    expect(await uploadFile(client, { path, digest, size: bytes.length }, ignore)).toBe(false);
    expect(requests).toHaveLength(1);
  });

  it('starts anew, whole, when the connection broke', async () => {
    let received: Buffer = Buffer.alloc(0);
    handler = async (request, response, count) => {
      if (request.method === 'HEAD') return absent(response);
      if (count === 2) return void request.socket.destroy();
      received = await bodyOf(request);
      json(response, {}, 201);
    };
    await uploadFile(client, { path, digest, size: bytes.length }, ignore);
    expect(digestOf(received)).toBe(digest);
  });

  it('ends with what the server says before it has all', async () => {
    handler = (request, response) => {
      if (request.method === 'HEAD') return absent(response);
      json(response, { code: 'disk.full', message: 'no room', requestId: 'r' }, 507);
    };
    await expect(uploadFile(client, { path, digest, size: bytes.length }, ignore)).rejects.toMatchObject({
      code: 'disk.full',
    });
  });

  it('of a file that is gone names it', async () => {
    handler = async (request, response) => {
      if (request.method === 'HEAD') return absent(response);
      await bodyOf(request).catch(ignore);
    };
    const gone = { path: join(folder, 'gone'), digest, size: 5 };
    await expect(uploadFile(client, gone, ignore)).rejects.toThrow(/gone: there is no such file/);
  });

  it('does not take a refused token for a missing blob', async () => {
    handler = (_request, response) => void response.writeHead(401).end();
    await expect(uploadFile(client, { path, digest, size: 1 }, ignore)).rejects.toMatchObject({ code: 'auth.invalid' });
  });
});

describe('a download', () => {
  const bytes = Buffer.from('the right bytes');
  const target = (): { path: string; digest: string; size: number } => ({
    path: join(folder, 'sub', 'file'),
    digest: digestOf(bytes),
    size: bytes.length,
  });

  it('makes its folder, and has its name only when it is whole', async () => {
    handler = (_request, response) => void response.end(bytes);
    await downloadFile(client, target(), ignore);
    expect(await readFile(target().path)).toEqual(bytes);
    expect(await readdir(join(folder, 'sub'))).toEqual(['file']);
  });

  it('starts anew when the connection broke midway', async () => {
    handler = (request, response, count) => {
      response.writeHead(200, { 'content-length': String(bytes.length) });
      if (count > 1) return void response.end(bytes);
      response.write(bytes.subarray(0, 5), () => request.socket.destroy());
    };
    await downloadFile(client, target(), ignore);
    expect(await readFile(target().path)).toEqual(bytes);
  });

  it.each([
    ['other bytes', Buffer.from('the wrong bytes')],
    ['fewer bytes', bytes.subarray(1)],
    ['endless bytes', Buffer.alloc(1_000_000)],
  ])('of %s leaves nothing', async (_what, sent) => {
    handler = (_request, response) => void response.end(sent);
    await expect(downloadFile(client, target(), ignore)).rejects.toMatchObject({ code: 'blob.digest-mismatch' });
    expect(await readdir(join(folder, 'sub'))).toEqual([]);
  });
});
