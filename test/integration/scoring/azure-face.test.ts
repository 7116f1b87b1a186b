import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answered, digits, post, Scoring, type Answered } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterAll(() => scoring.end());

const ask = (url: string, init?: RequestInit): Promise<Answered> => fetch(url, init).then(answered);
const image = [[Array.from({ length: 8 }, () => Array.from({ length: 8 }, () => 1))]];

describe('the face of Azure ML', () => {
  let url = '';
  beforeAll(async () => {
    ({ url } = await scoring.serve([digits]));
  });

  it('takes the values of a query as the body', async () => {
    const byQuery = await ask(`${url}/score?image=${encodeURIComponent(JSON.stringify(image))}`);
    expect(byQuery.status).toBe(200);
    expect(byQuery.json).toEqual((await post(`${url}/score`, { image })).json);
    expect((await ask(`${url}/score/digits?other=1`)).json).toMatchObject({
      message: expect.stringContaining('no input "other"') as string,
    });
  });

  it('answers OPTIONS with what is allowed, and a page of another origin with no word that it may read', async () => {
    const answer = await ask(`${url}/score`, { method: 'OPTIONS' });
    expect([answer.status, answer.bytes.length, answer.headers.get('allow')]).toEqual([200, 0, 'GET, POST, OPTIONS']);
    const origin = { origin: 'https://example.org' };
    for (const refused of [
      await ask(`${url}/score`, { method: 'OPTIONS', headers: origin }),
      await post(`${url}/score`, { image }, origin),
    ]) {
      expect(refused.status).toBe(403);
      expect([...refused.headers.keys()].filter((name) => name.startsWith('access-control-'))).toEqual([]);
    }
  });

  it.each(['PUT', 'DELETE', 'PATCH', 'HEAD'])('refuses %s with what is allowed', async (method) => {
    const answer = await ask(`${url}/score`, { method });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, POST, OPTIONS']);
  });

  it('gives ids, and the ones it was given, on every answer', async () => {
    const given = { 'x-request-id': 'r-1', 'x-ms-client-request-id': 'c-1' };
    for (const answer of [await post(`${url}/score`, { image }, given), await post(`${url}/nothing`, {}, given)]) {
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        'x-request-id': 'r-1',
        'x-ms-request-id': 'c-1',
        'x-ms-client-request-id': 'c-1',
        'x-ms-run-function-failed': 'False',
        'x-ms-server-version': expect.stringMatching(/^flotilla\//) as string,
      });
    }
    const legacy = await ask(url, { headers: { 'x-ms-request-id': 'l-1' } });
    expect([legacy.headers.get('x-ms-request-id'), legacy.headers.get('x-ms-client-request-id')]).toEqual([
      'l-1',
      'l-1',
    ]);
    const none = await ask(url);
    expect(none.headers.get('x-ms-request-id')).toBe(none.headers.get('x-request-id'));
    expect(none.headers.get('x-ms-client-request-id')).toBeNull();
  });

  it('says how long a run took, where one was done', async () => {
    expect((await post(`${url}/score`, { image })).headers.get('x-ms-run-fn-exec-ms')).toMatch(/^\d+\.\d{3}$/);
    expect((await post(`${url}/score`, '{')).headers.get('x-ms-run-fn-exec-ms')).toBeNull();
  });

  it.each(['x-request-id', 'x-ms-request-id', 'x-ms-client-request-id'])(
    'refuses a %s of more than 100 characters',
    async (name) => {
      expect((await post(`${url}/score`, { image }, { [name]: 'x'.repeat(100) })).status).toBe(200);
      const answer = await post(`${url}/score`, { image }, { [name]: 'x'.repeat(101) });
      expect(answer.status).toBe(431);
      expect(answer.json).toEqual({ message: expect.stringContaining('must not exceed 100 characters') as string });
    },
  );

  it.each([
    ['', { swagger: '2.0' }],
    ['?version=2', { swagger: '2.0' }],
    ['?version=2.0', { swagger: '2.0' }],
    ['?version=3', { openapi: '3.0.3' }],
    ['?version=3.1', { openapi: '3.1.0' }],
  ])('describes itself at /swagger.json%s', async (query, head) => {
    const { status, json } = await ask(`${url}/swagger.json${query}`);
    expect(status).toBe(200);
    expect(json).toMatchObject(head);
    const { paths } = json as { paths: object };
    expect(Object.keys(paths)).toEqual(['/', '/score', '/swagger.json']);
    const input = JSON.stringify(json).match(/"ServiceInput":(\{.*?\}),"ServiceOutput"/)?.[1];
    expect(JSON.parse(input ?? '')).toMatchObject({ required: ['image'], properties: { image: { type: 'array' } } });
  });

  it('gives an example that it accepts itself', async () => {
    const { json } = await ask(`${url}/swagger.json`);
    const { definitions } = json as { definitions: { ServiceInput: { example: unknown } } };
    expect((await post(`${url}/score`, definitions.ServiceInput.example)).status).toBe(200);
  });

  it('does not know other versions', async () => {
    const answer = await ask(`${url}/swagger.json?version=4`);
    expect(answer.status).toBe(404);
    expect(answer.json).toEqual({ message: 'Swagger version [4] is not valid. Supported versions: [2, 3, 3.1].' });
  });
});
