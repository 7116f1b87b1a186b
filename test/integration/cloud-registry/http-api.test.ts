import { rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newApiToken } from '#cloud/auth/api-token.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { exampleOf } from '#test/support/examples.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';
import { fixture, startRegistry, type RegistryHarness } from '#test/support/cloud-registry/registry-harness.js';

const folder = temporaryFolder();
let cloud: RegistryHarness;
beforeAll(async () => {
  cloud = await startRegistry(folder('data'), { 'limits-max-json-bytes': '20000', 'limits-max-blob-bytes': '5000' });
});
afterAll(() => cloud.stop());

const json = { 'content-type': 'application/json' };

describe('the token', () => {
  it('is needed everywhere but for health and documentation', async () => {
    for (const path of [
      '/v1/workspaces',
      '/metrics',
      '/v1/workspaces/default/models',
      '/v1/workspaces/default/events',
    ]) {
      const response = await fetch(cloud.url + path);
      expect(response.status, path).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
      expect(await response.json()).toMatchObject({ code: 'auth.missing' });
    }
    for (const path of ['/healthz', '/readyz', '/openapi.json', '/docs/']) {
      expect((await fetch(cloud.url + path)).status, path).toBe(200);
    }
  });

  it('is refused when it is another one or has another form', async () => {
    for (const authorization of ['Bearer wrong', 'Basic dXNlcjpwYXNz', 'Bearer ', `Bearer ${cloud.token} x`]) {
      const answer = await cloud.request('GET', '/v1/workspaces', undefined, { authorization });
      expect(answer.status, authorization).toBe(401);
      expect(answer.body['code']).toBe('auth.invalid');
    }
  });

  it('is asked for before the body is read and before a workspace is looked up', async () => {
    const response = await fetch(`${cloud.url}/v1/workspaces/nope/models`, {
      method: 'POST',
      headers: json,
      body: '{',
    });
    expect(response.status).toBe(401);
  });

  it('is stored as a hash only, and made once', async () => {
    const rows = await cloud.ground.control.selectFrom('tokens').selectAll().execute();
    expect(rows).toHaveLength(1);
    expect(JSON.stringify(rows)).not.toContain(cloud.token);
  });

  it('of one workspace reaches no other and nothing of the installation', async () => {
    await cloud.request('POST', '/v1/workspaces', { name: 'theirs' });
    const { text, ...made } = newApiToken();
    await cloud.ground.control
      .insertInto('tokens')
      .values({ ...made, workspace: 'theirs', role: 'owner', name: 'theirs', createdAt: '' })
      .execute();
    const ask = (method: string, path: string): Promise<{ status: number }> =>
      cloud.request(method, path, method === 'POST' ? { name: 'x' } : undefined, {
        authorization: `Bearer ${text}`,
      });
    expect((await ask('GET', '/v1/workspaces/theirs/models')).status).toBe(200);
    expect((await ask('GET', '/v1/workspaces/default/models')).status).toBe(403);
    expect((await ask('GET', '/metrics')).status).toBe(403);
    expect((await ask('POST', '/v1/workspaces')).status).toBe(403);
    const listed = await cloud.request('GET', '/v1/workspaces', undefined, { authorization: `Bearer ${text}` });
    expect(listed.body['items']).toMatchObject([{ name: 'theirs' }]);
  });
});

describe('bad requests', () => {
  const post = (body: string | Uint8Array, headers: Record<string, string> = json): ReturnType<typeof cloud.request> =>
    cloud.request('POST', '/v1/workspaces', body, headers);

  it.each([
    ['{"name": "a",}', 'line 1, column 14: expected a name in double quotes'],
    ['{\n  "name": NaN\n}', 'line 2, column 11: expected a value'],
    ['{"name": "a"', 'line 1, column 13: expected "," or "}"'],
    ['{"name": "a"} x', 'line 1, column 15: expected the end of the text'],
  ])('malformed JSON %j is answered with its place', async (text, place) => {
    const { status, body } = await post(text);
    expect(status).toBe(400);
    expect(body['message']).toBe(`the body is not JSON: ${place}`);
  });

  it('bytes that are not UTF-8, deep nesting and forbidden names are refused', async () => {
    expect((await post(Buffer.from([0x7b, 0xff, 0x7d]))).body['message']).toContain('not UTF-8');
    expect((await post('['.repeat(100) + ']'.repeat(100))).body['message']).toContain('nested deeper than 64');
    expect((await post('{"name": "x", "\\u005f_proto__": {"admin": true}}')).body['message']).toContain('__proto__');
    expect((await post('{"constructor": {"prototype": {}}}')).body['message']).toContain('constructor.prototype');
  });

  it('a wrong field is named with its path, an unknown one too', async () => {
    const wrong = await post('{"name": "Not A Name"}');
    expect(wrong.body).toMatchObject({ code: 'request.invalid', details: { issues: [{ path: 'name' }] } });
    expect((await post('{"name": "x", "color": 1}')).body['message']).toContain('color');
    expect((await post('')).body['message']).toContain('body');
    expect((await cloud.w('GET', '/models?limit=0')).body['message']).toContain('query: limit');
    expect((await cloud.w('GET', '/models/digits/versions/one')).body['message']).toContain('path: version');
  });

  it('a content type that is not JSON is refused', async () => {
    const { status, body } = await post('name=x', { 'content-type': 'application/x-www-form-urlencoded' });
    expect(status).toBe(415);
    expect(body['code']).toBe('request.unsupported-type');
  });

  it('a body that is too large is refused, announced or not', async () => {
    const text = JSON.stringify({ name: 'x', pad: 'y'.repeat(30_000) });
    expect((await post(text)).body['code']).toBe('request.too-large');
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from(text));
        controller.close();
      },
    });
    const response = await fetch(`${cloud.url}/v1/workspaces`, {
      method: 'POST',
      headers: { ...json, authorization: `Bearer ${cloud.token}` },
      body: stream,
      duplex: 'half',
    } as RequestInit);
    expect(response.status).toBe(413);
  });

  it('an unknown path is 404, a wrong method 405 with what is allowed', async () => {
    expect((await cloud.request('GET', '/v2/none')).body['code']).toBe('request.not-found');
    const { status, headers, body } = await cloud.request('DELETE', '/v1/workspaces/default/models');
    expect(status).toBe(405);
    expect(headers.get('allow')).toBe('GET, HEAD, POST');
    expect(body['message']).toContain('DELETE is not allowed');
  });

  it('bytes that are not HTTP get a problem body too', async () => {
    const { port } = new URL(cloud.url);
    const text = await new Promise<string>((resolve, reject) => {
      let received = '';
      const socket = connect(Number(port), '127.0.0.1', () => socket.write('BREW coffee\r\n\r\n'));
      socket.on('data', (chunk) => {
        received += chunk.toString();
      });
      socket.on('close', () => resolve(received));
      socket.on('error', reject);
    });
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text).toContain('"code":"request.invalid"');
  });

  it('a malformed URL gets a problem body', async () => {
    const answer = await cloud.request('GET', '/v1/workspaces/%E0%A4%A');
    expect(answer.status).toBe(400);
    expect(answer.body['code']).toBe('request.invalid');
  });

  it('an unknown workspace is named', async () => {
    const { status, body } = await cloud.request('GET', '/v1/workspaces/nope/models');
    expect(status).toBe(404);
    expect(body).toMatchObject({ code: 'workspace.not-found' });
    expect(body['message']).toContain('"nope"');
  });
});

describe('every answer', () => {
  it('carries a request id and headers that forbid framing, sniffing and caching', async () => {
    for (const path of ['/v1/workspaces', '/nope', '/healthz']) {
      const { headers } = await cloud.request('GET', path);
      expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    }
    const problem = await cloud.request('GET', '/nope');
    expect(problem.body['requestId']).toBe(problem.headers.get('x-request-id'));
  });
});

describe('blobs', () => {
  const path = (digest: string): string => `/blobs/${digest}`;

  it('are stored, found and read back', async () => {
    const bytes = Buffer.from('some bytes');
    const digest = await cloud.upload(bytes);
    expect((await cloud.w('PUT', path(digest), bytes)).status).toBe(200);
    expect((await cloud.w('GET', path(digest))).bytes.equals(bytes)).toBe(true);
    const head = await cloud.w('HEAD', path(digest));
    expect(head.headers.get('content-length')).toBe('10');
  });

  it('are refused under a digest that they do not have', async () => {
    const { status, body } = await cloud.w('PUT', path(`sha256:${'a'.repeat(64)}`), Buffer.from('other'));
    expect(status).toBe(422);
    expect(body['code']).toBe('blob.digest-mismatch');
  });

  it('are refused above the limit, announced or not, and under a malformed digest', async () => {
    const large = Buffer.alloc(5001);
    expect((await cloud.w('PUT', path(`sha256:${'a'.repeat(64)}`), large)).status).toBe(413);
    const response = await fetch(`${cloud.url}/v1/workspaces/default${path(`sha256:${'a'.repeat(64)}`)}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/octet-stream', authorization: `Bearer ${cloud.token}` },
      body: new ReadableStream({
        start(controller) {
          controller.enqueue(large);
          controller.close();
        },
      }),
      duplex: 'half',
    } as RequestInit);
    expect(response.status).toBe(413);
    expect((await cloud.w('GET', path('sha256:zz'))).status).toBe(400);
    expect((await cloud.w('GET', path('md5:aa'))).status).toBe(400);
  });

  it('of one workspace are not seen by another, though their bytes are stored once', async () => {
    const bytes = Buffer.from('secret of the default workspace');
    const digest = await cloud.upload(bytes);
    await cloud.request('POST', '/v1/workspaces', { name: 'other' });
    const other = `/v1/workspaces/other/blobs/${digest}`;
    expect((await cloud.request('GET', other)).status).toBe(404);
    expect((await cloud.request('HEAD', other)).status).toBe(404);
    await cloud.upload(bytes, 'other');
    expect((await cloud.request('GET', other)).status).toBe(200);
  });
});

describe('workspaces', () => {
  it('start with default, are made once, and are deleted when they are empty', async () => {
    const names = async (): Promise<string[]> =>
      ((await cloud.request('GET', '/v1/workspaces')).body['items'] as { name: string }[]).map(({ name }) => name);
    expect(await names()).toContain('default');
    expect((await cloud.request('POST', '/v1/workspaces', { name: 'lab' })).status).toBe(201);
    expect((await cloud.request('POST', '/v1/workspaces', { name: 'lab' })).body['code']).toBe('workspace.exists');
    await cloud.upload(Buffer.from('left behind'), 'lab');
    expect((await cloud.request('DELETE', '/v1/workspaces/lab')).status).toBe(204);
    expect(await names()).not.toContain('lab');
    expect((await cloud.request('DELETE', '/v1/workspaces/lab')).body['code']).toBe('workspace.not-found');
  });

  it('take what their devices said with them when they are deleted, and nothing of others', async () => {
    const said = (workspace: string, bootId: number): Promise<unknown> =>
      cloud.telemetry.ingest(
        (['telemetry', 'events'] as const).map((kind) => {
          const payload = encodeMessage({ ...(exampleOf(kind) as object), bootId, sequence: 1 });
          return { workspace, device: 'cam-1', receivedAt: 1, kind, payload };
        }),
      );
    const rows = async (workspace: string): Promise<number> => {
      const address = { workspace, device: 'cam-1' };
      const { modules, batches } = await cloud.telemetry.telemetry({ ...address, fromMs: 0 });
      const { events } = await cloud.telemetry.events({ ...address, limit: 10 });
      return modules.length + batches + events.length;
    };
    for (const name of ['going', 'staying']) {
      await cloud.request('POST', '/v1/workspaces', { name });
      await said(name, 1);
    }
    expect(await rows('going')).toBe(3);
    expect((await cloud.request('DELETE', '/v1/workspaces/going')).status).toBe(204);
    expect(await rows('going')).toBe(0);
    expect(await rows('staying')).toBe(3);

    // What an erasure that was cut off left, marks included, is not there for the next of the name.
    await said('going', 2);
    await cloud.request('POST', '/v1/workspaces', { name: 'going' });
    expect(await rows('going')).toBe(0);
    expect(await said('going', 1)).toMatchObject({ counts: { stored: 2 } });
  });

  it('that hold something are not deleted, and say how much', async () => {
    await cloud.register('keep', { 'm.onnx': fixture('add-one.onnx') });
    const { status, body } = await cloud.request('DELETE', '/v1/workspaces/default');
    expect(status).toBe(409);
    expect(body).toMatchObject({ code: 'workspace.not-empty', details: { models: 1, images: 0, devices: 0 } });
  });

  it('have their own models and activities', async () => {
    await cloud.request('POST', '/v1/workspaces', { name: 'apart' });
    expect((await cloud.request('GET', '/v1/workspaces/apart/models')).body['items']).toEqual([]);
    expect((await cloud.request('GET', '/v1/workspaces/apart/models/keep/versions/1')).status).toBe(404);
    const activities = (await cloud.w('GET', '/activities')).body['items'] as { id: string }[];
    const id = activities[0]?.id ?? '';
    expect((await cloud.w('GET', `/activities/${id}`)).status).toBe(200);
    expect((await cloud.request('GET', `/v1/workspaces/apart/activities/${id}`)).status).toBe(404);
    expect((await cloud.request('GET', `/v1/workspaces/apart/activities/${id}/log`)).status).toBe(404);
    expect((await cloud.request('POST', `/v1/workspaces/apart/activities/${id}/cancel`)).status).toBe(404);
  });
});

describe('the documentation', () => {
  it('is OpenAPI 3.1 with every route, its bodies and the problem body', async () => {
    const { body } = await cloud.request('GET', '/openapi.json');
    expect(body['openapi']).toBe('3.1.0');
    const paths = body['paths'] as Record<string, Record<string, { responses: Record<string, unknown> }>>;
    expect(Object.keys(paths)).toContain('/v1/workspaces/{workspace}/models/{name}/versions/{version}');
    const register = paths['/v1/workspaces/{workspace}/models']?.['post'];
    expect(JSON.stringify(register)).toContain('"files"');
    expect(Object.keys(register?.responses ?? {})).toEqual(expect.arrayContaining(['202', '4XX', '5XX']));
  });

  it('says where bytes are taken and given', async () => {
    const { body } = await cloud.request('GET', '/openapi.json');
    const paths = body['paths'] as Record<
      string,
      Record<string, { requestBody?: unknown; responses: Record<string, { content?: unknown }> }>
    >;
    const octets = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } };
    const blob = paths['/v1/workspaces/{workspace}/blobs/{digest}'];
    expect(blob?.['put']?.requestBody).toMatchObject({ content: octets });
    expect(blob?.['put']?.responses['201']?.content).toHaveProperty('application/json');
    expect(blob?.['get']?.responses['200']?.content).toEqual(octets);
    expect(blob?.['get']?.responses['206']?.content).toEqual(octets);
    expect(Object.keys(blob?.['get']?.responses ?? {})).toEqual(expect.arrayContaining(['304', '4XX', '5XX']));
    const file = paths['/v1/workspaces/{workspace}/models/{name}/versions/{version}/files/{*}'];
    expect(file?.['get']?.responses['200']?.content).toEqual(octets);
  });

  it('is served as pages that may run their own scripts only', async () => {
    const { headers, bytes } = await cloud.request('GET', '/docs/');
    expect(bytes.toString()).toContain('swagger-ui');
    expect(headers.get('content-security-policy')).toContain('script-src');
    expect(headers.get('content-security-policy')).not.toContain("default-src 'none'");
  });
});

describe('metrics and readiness', () => {
  it('count requests by route and status in Prometheus text', async () => {
    await cloud.request('GET', '/nope');
    await cloud.w('GET', '/models');
    const { headers, bytes } = await cloud.request('GET', '/metrics');
    expect(headers.get('content-type')).toContain('version=0.0.4');
    expect(bytes.toString()).toMatch(
      /flotilla_http_requests_total\{route="\/v1\/workspaces\/:workspace\/models",method="GET",status="200"\} \d+/,
    );
    expect(bytes.toString()).toMatch(/flotilla_http_requests_total\{route="none",method="GET",status="404"\} \d+/);
    expect(bytes.toString()).toContain('flotilla_activities{kind="model.register",state="succeeded"} 1');
  });

  it('say what does not work', async () => {
    const other = await startRegistry(folder('unready'));
    try {
      await rm(`${other.ground.store.root}/uploads`, { recursive: true });
      await writeFile(`${other.ground.store.root}/uploads`, 'not a folder');
      const { status, body } = await other.request('GET', '/readyz');
      expect(status).toBe(503);
      expect(body).toMatchObject({ ready: false, checks: { database: 'ok' } });
      expect((body['checks'] as Record<string, string>)['blobs']).toContain('cannot write');
    } finally {
      await other.stop();
    }
  });
});
