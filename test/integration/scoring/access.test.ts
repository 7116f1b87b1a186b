/** Who may ask a real scoring host, over HTTP and gRPC alike, on the quick way and on the framework's. */
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { secretDigest } from '#shared/scoring/access/bearer.js';
import { type HostAccess, loopbackAccess } from '#shared/scoring/access/host-access.js';
import type { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';
import { failure, GrpcClient, type StreamAnswer } from '#test/support/grpc-client.js';
import { fixtures, hostedModule, Scoring } from '#test/support/scoring-harness.js';

const x = { name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] };
const body = JSON.stringify({ inputs: [x] });
const addOne = { model_name: 'model', inputs: [{ ...x, data: undefined, contents: { fp32_contents: x.data } }] };
const paths = { quick: '/v2/models/model/infer', framework: '/v2/models/model/versions/1/infer', azure: '/score' };
const status = { DENIED: 7, UNAUTHENTICATED: 16 };

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** `fetch` lets nobody say who the host is, or the origin. */
function ask(port: number, path: string, headers: Record<string, string>, method = 'POST'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', path, method, headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => {
        const text = Buffer.concat(parts).toString();
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
      });
    });
    sent.on('error', reject);
    sent.end(method === 'POST' ? body : undefined);
  });
}

describe('who may ask a scoring host', () => {
  const scoring = new Scoring();
  const clients: GrpcClient[] = [];
  let host: ScoringHostProcess;
  let port: number;
  let address: string;
  const key = 'a-key-of-this-test';
  const withKeys = (...keys: string[]): HostAccess => ({
    ...loopbackAccess,
    mode: 'keys',
    keyDigests: keys.map((one) => secretDigest(one).toString('hex')),
  });
  const grpc = (authority?: string): GrpcClient => {
    const client = new GrpcClient(address, authority);
    clients.push(client);
    return client;
  };
  const bearer = (secret: string): { authorization: string } => ({ authorization: `Bearer ${secret}` });

  beforeAll(async () => {
    const modules = [hostedModule(fixtures, 'add-one.onnx')];
    const access = { ...loopbackAccess, corsOrigins: ['https://app.example'] };
    const served = await scoring.serveGrpc(modules, { access, controlToken: 'control-token' });
    ({ host, address } = served);
    port = Number(new URL(served.url).port);
  });
  afterAll(async () => {
    for (const client of clients) client.close();
    await scoring.end();
  });

  describe.each(Object.entries(paths))('by the %s way', (_way, path) => {
    it('a program of this machine may', async () => {
      expect((await ask(port, path, {})).status).toBe(200);
    });

    it.each([
      ['by a name that was pointed here', { host: 'rebound.evil.example' }, 421, /rebound\.evil\.example/],
      ['from a page of another site', { origin: 'https://evil.example', 'content-type': 'text/plain' }, 403, /evil/],
      ['from an image of another site', { 'sec-fetch-site': 'cross-site' }, 403, /another site/],
    ])('%s nobody may, and nothing says that it could be read', async (_what, headers, refused, said) => {
      const answer = await ask(port, path, headers);
      expect(answer).toMatchObject({ status: refused, text: expect.stringMatching(said) as string });
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
      expect(answer.headers['x-request-id']).toBeDefined();
      expect(answer.headers['flotilla-model']).toBeUndefined();
    });

    it('a page whose origin is named may, and reads the answer', async () => {
      const answer = await ask(port, path, { origin: 'https://app.example' });
      expect(answer).toMatchObject({ status: 200, headers: { 'access-control-allow-origin': 'https://app.example' } });
      expect(answer.headers['vary']).toContain('origin');
      expect(answer.headers['flotilla-model']).toBe('model');
    });

    it('its browser is told beforehand, and that of another page is not', async () => {
      const preflight = {
        origin: 'https://app.example',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type,inference-header-content-length',
      };
      expect(await ask(port, path, preflight, 'OPTIONS')).toMatchObject({
        status: 204,
        headers: {
          'access-control-allow-origin': 'https://app.example',
          'access-control-allow-methods': 'GET, HEAD, POST',
          'access-control-allow-headers': 'content-type,inference-header-content-length',
        },
      });
      const other = await ask(port, path, { ...preflight, origin: 'https://evil.example' }, 'OPTIONS');
      expect(other.status).toBe(403);
      expect(other.headers['access-control-allow-origin']).toBeUndefined();
    });
  });

  it.each(['/metrics', '/v2', '/openapi.json', '/v2/health/live', '/nothing', '/v2/repository/models/model/unload'])(
    'what is at %s is closed to other pages and names too',
    async (path) => {
      expect((await ask(port, path, { host: 'evil.example' }, 'GET')).status).toBe(421);
      expect((await ask(port, path, { origin: 'https://evil.example' }, 'GET')).status).toBe(403);
    },
  );

  it('gRPC by a name that was pointed here, or from a page, is refused', async () => {
    expect((await grpc().infer(addOne)).answer.model_name).toBe('model');
    const rebound = await failure(grpc('rebound.evil.example').infer(addOne));
    expect(rebound).toMatchObject({ code: status.DENIED, details: expect.stringContaining('rebound') as string });
    const page = await failure(grpc().infer(addOne, { metadata: { origin: 'https://evil.example' } }));
    expect(page.code).toBe(status.DENIED);
  });

  describe('once it asks for keys, while it runs', () => {
    beforeAll(() => host.access(withKeys(key, 'another-key')));

    it.each(Object.values(paths))('%s needs one', async (path) => {
      const none = await ask(port, path, {});
      expect(none).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Bearer' } });
      expect((await ask(port, path, bearer('guessed'))).status).toBe(401);
      for (const good of [key, 'another-key', 'control-token']) {
        expect((await ask(port, path, bearer(good))).status, good).toBe(200);
      }
    });

    it('what tells of models needs one, and what tells that it lives does not', async () => {
      for (const path of [
        '/metrics',
        '/v2',
        '/v2/models/model',
        '/openapi.json',
        '/v2/models/stats',
        '/v2/health/livex',
      ]) {
        expect((await ask(port, path, {}, 'GET')).status, path).toBe(401);
      }
      expect((await ask(port, '/metrics', bearer(key), 'GET')).status).toBe(200);
      for (const path of ['/', '/v2/health/live', '/v2/health/ready/', '/v2/health/ready?x']) {
        expect((await ask(port, path, {}, 'GET')).status, path).toBe(200);
      }
    });

    it('a key does not load or unload models, the control token does', async () => {
      const path = '/v2/repository/models/model/load';
      expect((await ask(port, path, bearer(key))).status).toBe(401);
      expect((await ask(port, path, bearer('control-token'))).status).not.toBe(401);
    });

    it('gRPC needs one as metadata', async () => {
      const client = grpc();
      expect((await failure(client.infer(addOne))).code).toBe(status.UNAUTHENTICATED);
      expect((await failure(client.call('ModelMetadata', { name: 'model' }))).code).toBe(status.UNAUTHENTICATED);
      const guessed = client.infer(addOne, { metadata: bearer('guessed') });
      expect((await failure(guessed)).code).toBe(status.UNAUTHENTICATED);
      expect((await client.infer(addOne, { metadata: bearer(key) })).answer.model_name).toBe('model');
      expect((await client.call('ServerLive')).answer).toEqual({ live: true });
      const health = await client.call('Check', {}, { service: 'grpc.health.v1.Health' });
      expect(health.answer).toEqual({ status: 'SERVING' });
    });

    it('a key that is revoked ends the stream that it opened, and another goes on', async () => {
      const client = grpc();
      const [revoked, other] = [key, 'another-key'].map((one) => {
        const stream = client.stream(bearer(one));
        const answers: StreamAnswer[] = [];
        const ended = new Promise<number>((resolve) => {
          stream.on('error', (error: Error & { code: number }) => resolve(error.code));
          stream.on('end', () => resolve(0));
        });
        const answered = new Promise<void>((resolve) => {
          stream.on('data', (answer: StreamAnswer) => {
            answers.push(answer);
            resolve();
          });
        });
        stream.write(addOne);
        return { stream, answers, ended, answered };
      });
      if (!revoked || !other) throw new Error('two streams were opened');
      await Promise.all([revoked.answered, other.answered]);

      await host.access(withKeys('another-key'));
      expect(await revoked.ended).toBe(status.UNAUTHENTICATED);
      other.stream.write(addOne);
      other.stream.end();
      expect(await other.ended).toBe(0);
      expect(other.answers.map((answer) => answer.error_message)).toEqual(['', '']);
      expect((await ask(port, paths.quick, bearer(key))).status).toBe(401);
      expect((await ask(port, paths.quick, bearer('another-key'))).status).toBe(200);
    });
  });
});
