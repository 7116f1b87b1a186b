import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { outsideTool } from '#test/support/outside-tool.js';
import { answered, digits, post, Scoring, type Answered } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterAll(() => scoring.end());

const ask = (url: string, init?: RequestInit): Promise<Answered> => fetch(url, init).then(answered);
const read = async (url: string): Promise<string> => (await fetch(url)).text();
const image = [[Array.from({ length: 8 }, () => Array.from({ length: 8 }, () => 1))]];
let url = '';
beforeAll(async () => {
  ({ url } = await scoring.serve([digits], { controlToken: 'a-token' }));
  await post(`${url}/score`, { image });
  await post(`${url}/score`, { image });
  await post(`${url}/score`, '{');
});

describe('/metrics', () => {
  const lines = async (query: string): Promise<Map<string, string>> => {
    const text = await read(`${url}/metrics${query}`);
    return new Map(
      text.split('\n').map((line) => [line.slice(0, line.lastIndexOf(' ')), line.slice(line.lastIndexOf(' ') + 1)]),
    );
  };

  it('counts under our names', async () => {
    const response = await fetch(`${url}/metrics`);
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const values = await lines('');
    const labels = 'model="digits",version="1"';
    expect(values.get(`flotilla_scoring_requests_total{${labels}}`)).toBe('3');
    expect(values.get(`flotilla_scoring_errors_total{${labels},code="score.invalid-input"}`)).toBe('1');
    expect(values.get(`flotilla_scoring_request_seconds_count{${labels}}`)).toBe('2');
    expect(values.get(`flotilla_scoring_request_seconds_bucket{${labels},le="+Inf"}`)).toBe('2');
    expect(values.get(`flotilla_scoring_model_info{${labels},provider="cpu"}`)).toBe('1');
  });

  it("counts under the names of the protocol's own server", async () => {
    const values = await lines('?names=triton');
    const labels = 'model="digits",version="1"';
    expect(values.get(`nv_inference_request_success{${labels}}`)).toBe('2');
    expect(values.get(`nv_inference_request_failure{${labels},reason="OTHER"}`)).toBe('1');
    expect(Number(values.get(`nv_inference_request_duration_us{${labels}}`))).toBeGreaterThan(0);
    expect([...values.keys()].some((name) => name.startsWith('flotilla_'))).toBe(false);
    expect((await ask(`${url}/metrics?names=other`)).status).toBe(400);
  });

  it("passes promtool; of the whole page it dislikes only names that are the protocol's server's", async () => {
    const promtool = outsideTool('promtool');
    const check = (input: string): { status: number | null; stderr: string } => {
      const { status, stderr } = spawnSync(promtool, ['check', 'metrics'], { input, encoding: 'utf8' });
      return { status, stderr };
    };
    expect(check(await read(`${url}/metrics?names=flotilla`))).toEqual({ status: 0, stderr: '' });
    const whole = check(await read(`${url}/metrics`));
    // 3: it can be read, and there are remarks.
    expect(whole.status).toBe(3);
    const remarks = whole.stderr.trim().split('\n');
    expect(remarks.filter((line) => !/^nv_.* (?:suffix|units)$/.test(line))).toEqual([]);
  });
});

interface Documented {
  readonly paths: Record<string, Record<string, { responses: Record<string, { content?: Record<string, object> }> }>>;
}

describe('/openapi.json', () => {
  const control = { authorization: 'Bearer a-token' };
  const bearer = (token: string): RequestInit => ({ method: 'POST', headers: { authorization: `Bearer ${token}` } });
  const json = (body: unknown): RequestInit => ({
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

  it.each([
    ['/', {}, 200],
    ['/v2', {}, 200],
    ['/v2/models/digits', {}, 200],
    ['/v2/models/digits/versions/1/ready', {}, 200],
    ['/v2/models/digits/stats', {}, 200],
    ['/v2/models/digits/infer', json({}), 400],
    ['/v2/models/digits/infer', { method: 'POST', body: '<a/>', headers: { 'content-type': 'text/xml' } }, 415],
    ['/v2/models/digits/infer', json('x'.repeat(9 * 1024 * 1024)), 413],
    ['/v1/models', {}, 200],
    ['/v1/models/digits', {}, 200],
    ['/v1/models/digits:predict', json({ instances: [image[0]] }), 200],
    ['/v1/models/digits:predict', json({}), 400],
    ['/score', json({ image }), 200],
    ['/score', json({ image: 1 }), 400],
    ['/score', { headers: { 'x-request-id': 'x'.repeat(101) } }, 431],
    ['/score/digits', { method: 'OPTIONS' }, 200],
    ['/swagger.json?version=9', {}, 404],
    ['/metrics?names=9', {}, 400],
    ['/v2/trace/setting', {}, 501],
    ['/v2/models/digits/trace/setting', {}, 501],
    ['/v2/repository/index', { method: 'POST' }, 200],
    ['/v2/repository/index', json([]), 400],
    ['/v2/repository/models/digits/load', bearer('x'), 401],
    [
      '/v2/repository/models/digits/load',
      { method: 'POST', headers: control, body: '{"parameters":{"config":"{}"}}' },
      400,
    ],
    ['/v2/repository/models/digits/load', { method: 'POST', headers: control }, 200],
  ] as [string, RequestInit, number][])(
    'names what %s answers, status and type (case %#)',
    async (path, init, status) => {
      const { paths } = (await ask(`${url}/openapi.json`)).json as Documented;
      const answer = await ask(url + path, init);
      expect(answer.status).toBe(status);
      const method = (init.method ?? 'GET').toLowerCase();
      const documented = paths[path.split('?')[0] ?? '']?.[method]?.responses[String(status)];
      expect(documented).toBeDefined();
      const type = answer.headers.get('content-type')?.split(';')[0];
      if (answer.bytes.length > 0) expect(Object.keys(documented?.content ?? {})).toContain(type);
    },
  );

  it('names no path that does not exist', async () => {
    const { paths } = (await ask(`${url}/openapi.json`)).json as Documented;
    for (const [path, operations] of Object.entries(paths)) {
      for (const method of Object.keys(operations).filter((name) => name !== 'post')) {
        const { status } = await fetch(url + path, { method: method.toUpperCase() });
        expect([path, method, status === 404 || status === 405]).toEqual([path, method, false]);
      }
    }
  });

  it('gives examples that are accepted', async () => {
    type Examples = Record<string, { post: { requestBody: { content: Record<string, { example?: unknown }> } } }>;
    const { paths } = (await ask(`${url}/openapi.json`)).json as { paths: Examples };
    for (const path of ['/score', '/v2/models/digits/infer', '/v1/models/digits:predict']) {
      const example = paths[path]?.post.requestBody.content['application/json']?.example;
      expect(example).toBeDefined();
      expect((await post(url + path, example)).status).toBe(200);
    }
  });

  it('stands for one model alone, with no other path', async () => {
    const { paths } = (await ask(`${url}/v2/models/digits/openapi.json`)).json as Documented;
    expect(Object.keys(paths).every((path) => path.includes('digits') || path === '/score')).toBe(true);
    expect((await ask(`${url}/v2/models/cats/openapi.json`)).status).toBe(404);
  });
});
