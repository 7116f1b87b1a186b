import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readInferResponse } from '#shared/scoring/codec/infer-response.js';
import { jsonLengthOf } from '#shared/scoring/codec/json-length.js';
import { identityModel } from '#test/support/onnx-writer.js';
import { answered, digits, hostedModule, post, Scoring, type Answered } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterAll(() => scoring.end());

const token = 'control-token-of-this-test';
const image = { name: 'image', shape: [1, 1, 8, 8], datatype: 'FP32', data: Array.from({ length: 64 }, () => 1) };
const ask = (url: string, init?: RequestInit): Promise<Answered> => fetch(url, init).then(answered);

describe('a host of several versions', () => {
  let url = '';
  beforeAll(async () => {
    ({ url } = await scoring.serve([digits, { ...digits, version: 2 }], { controlToken: token }));
  });

  it('lists all ready versions, or the one that was asked', async () => {
    expect((await ask(`${url}/v2/models/digits`)).json).toMatchObject({ versions: ['1', '2'] });
    expect((await ask(`${url}/v2/models/digits/versions/1`)).json).toMatchObject({ versions: ['1'] });
    const answer = await post(`${url}/v2/models/digits/infer`, { inputs: [image] });
    expect(answer.json).toMatchObject({ model_version: '2' });
    const first = await post(`${url}/v2/models/digits/versions/1/infer`, { inputs: [image] });
    expect(first.json).toMatchObject({ model_version: '1' });
  });

  it('gives the outputs that were asked, in that order, each in the form that was asked, and the id', async () => {
    const answer = await post(`${url}/v2/models/digits/infer`, {
      id: 'q-1',
      parameters: { priority: 1, timeout: 60_000_000, binary_data_output: true },
      inputs: [image],
      outputs: [{ name: 'probabilities' }, { name: 'label', parameters: { binary_data: false } }],
    });
    expect(answer.status).toBe(200);
    const length = jsonLengthOf(Object.fromEntries(answer.headers)) ?? 0;
    const head = JSON.parse(new TextDecoder().decode(answer.bytes.subarray(0, length))) as object;
    expect(head).toEqual({
      id: 'q-1',
      model_name: 'digits',
      model_version: '2',
      outputs: [
        { name: 'probabilities', datatype: 'FP32', shape: [1, 10], parameters: { binary_data_size: 40 } },
        { name: 'label', datatype: 'INT64', shape: [1], data: [expect.any(Number)] },
      ],
    });
  });

  it('reads a raw binary request, and answers all outputs binary', async () => {
    const raw = new Uint8Array(Float32Array.from(image.data).buffer);
    const answer = await post(`${url}/v2/models/digits/infer`, raw, { 'inference-header-content-length': '0' });
    expect(answer.status).toBe(200);
    const outputs = readInferResponse(answer.bytes, jsonLengthOf(Object.fromEntries(answer.headers)));
    expect(Object.fromEntries(outputs.map(({ name, shape }) => [name, shape]))).toEqual({
      label: [1],
      probabilities: [1, 10],
    });
    expect(answer.bytes.length - (jsonLengthOf(Object.fromEntries(answer.headers)) ?? 0)).toBe(48);
  });

  it('classifies an output into the largest values and their places', async () => {
    const answer = await post(`${url}/v2/models/digits/infer`, {
      inputs: [image],
      outputs: [{ name: 'probabilities', parameters: { classification: 3 } }],
    });
    const { outputs } = answer.json as { outputs: [{ data: string[] }] };
    expect(outputs).toMatchObject([{ name: 'probabilities', datatype: 'BYTES', shape: [1, 3] }]);
    for (const entry of outputs[0].data) expect(entry).toMatch(/^\d\.\d{6}:\d$/);
    const values = outputs[0].data.map(parseFloat);
    expect(values).toEqual([...values].sort((a, b) => b - a));
  });

  it.each([
    [{ priority: 'high' }, /priority of the request must be an integer from 0, got "high"/],
    [{ timeout: -5 }, /timeout of the request must be/],
  ])('refuses the parameters %j', async (parameters, message) => {
    const answer = await post(`${url}/v2/models/digits/infer`, { parameters, inputs: [image] });
    expect(answer.status).toBe(400);
    expect((answer.json as { error: string }).error).toMatch(message);
  });

  it('counts in the statistics of the version that answered, and of no other', async () => {
    type Stats = { model_stats: { version: string; inference_stats: { success: { count: number; ns: number } } }[] };
    const read = async (path: string): Promise<Stats> => (await ask(url + path)).json as Stats;
    const before = (await read('/v2/models/digits/versions/1/stats')).model_stats[0];
    await post(`${url}/v2/models/digits/versions/1/infer`, { inputs: [image] });
    await post(`${url}/v2/models/digits/versions/1/infer`, '{');
    const after = await read('/v2/models/digits/versions/1/stats');
    const count = { count: expect.any(Number) as number, ns: expect.any(Number) as number };
    expect(after).toEqual({
      model_stats: [
        {
          name: 'digits',
          version: '1',
          last_inference: expect.any(Number) as number,
          inference_count: expect.any(Number) as number,
          execution_count: expect.any(Number) as number,
          inference_stats: {
            success: { ...count, count: (before?.inference_stats.success.count ?? 0) + 1 },
            fail: count,
            queue: count,
            compute_input: count,
            compute_infer: count,
            compute_output: count,
            cache_hit: count,
            cache_miss: count,
          },
          batch_stats: expect.any(Array) as unknown[],
        },
      ],
    });
    expect((await read('/v2/models/stats')).model_stats).toHaveLength(2);
    expect((await read('/v2/models/digits/stats')).model_stats.map(({ version }) => version).sort()).toEqual([
      '1',
      '2',
    ]);
    expect((await ask(`${url}/v2/models/cats/stats`)).status).toBe(404);
  });

  it.each([
    ['GET', '/v2/trace/setting'],
    ['POST', '/v2/trace/setting'],
    ['GET', '/v2/models/digits/trace/setting'],
    ['POST', '/v2/logging'],
  ])('refuses %s %s and says what to use', async (method, path) => {
    const answer = await ask(url + path, { method });
    expect(answer.status).toBe(501);
    expect((answer.json as { error: string }).error).toMatch(/settings are not served: (?:read \/v2|set FLOTILLA_LOG)/);
  });
});

describe('the repository', () => {
  let url = '';
  beforeAll(async () => {
    const folder = await scoring.folder();
    await writeFile(join(folder, 'text.onnx'), identityModel(8, ['n']));
    const text = hostedModule(folder, 'text.onnx', { name: 'text' });
    ({ url } = await scoring.serve([digits, text], { controlToken: token }));
  });
  const bearer = { authorization: `Bearer ${token}` };
  const change = (path: string, init: RequestInit = {}): Promise<Answered> =>
    ask(`${url}/v2/repository/models/${path}`, { method: 'POST', ...init });
  const index = (body?: string): Promise<Answered> =>
    ask(`${url}/v2/repository/index`, { method: 'POST', ...(body === undefined ? {} : { body }) });

  it('is listed without a body or a token', async () => {
    expect((await index()).json).toEqual([
      { name: 'digits', version: '1', state: 'READY', reason: '' },
      { name: 'text', version: '1', state: 'READY', reason: '' },
    ]);
    expect((await index('{"ready":1}')).status).toBe(400);
  });

  it.each([
    ['no token', {}, 401],
    ['another token', { authorization: 'Bearer x' }, 401],
    ['another scheme', { authorization: `Basic ${token}` }, 401],
  ])('changes nothing for %s', async (_, headers, status) => {
    for (const path of ['digits/unload', 'digits/load', 'nothing/load']) {
      const answer = await change(path, { headers });
      expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([status, 'Bearer']);
    }
    expect((await ask(`${url}/v2/models/digits/ready`)).status).toBe(200);
  });

  it('is closed to everybody on a host without a token', async () => {
    const { url: closed } = await scoring.serve([digits]);
    const answer = await ask(`${closed}/v2/repository/models/digits/unload`, { method: 'POST', headers: bearer });
    expect(answer.status).toBe(403);
    expect(answer.json).toEqual({ error: expect.stringContaining('has no control token') as string });
  });

  it('refuses files and configurations', async () => {
    for (const parameters of [{ config: '{}' }, { 'file:1/model.onnx': 'AAAA' }]) {
      const answer = await change('digits/load', { headers: bearer, body: JSON.stringify({ parameters }) });
      expect(answer.status).toBe(400);
      expect((answer.json as { error: string }).error).toMatch(/^parameter "(?:config|file:1\/model.onnx)" is refused/);
    }
  });

  it('unloads and loads again, and says so meanwhile on every face', async () => {
    const body = JSON.stringify({ parameters: { unload_dependents: true } });
    const unloaded = await change('text/unload', { headers: bearer, body });
    expect([unloaded.status, unloaded.bytes.length]).toEqual([200, 0]);
    expect((await index('{"ready":true}')).json).toEqual([
      { name: 'digits', version: '1', state: 'READY', reason: '' },
    ]);
    expect((await ask(`${url}/v2/models/text/ready`)).status).toBe(503);
    expect((await post(`${url}/v1/models/text:predict`, { instances: ['a'] })).status).toBe(503);
    expect((await post(`${url}/score/text`, {})).status).toBe(503);
    expect((await change('text/load', { headers: bearer })).status).toBe(200);
    const answer = await post(`${url}/v1/models/text:predict`, { instances: ['a', 'b'] });
    expect(answer.json).toEqual({ predictions: ['a', 'b'] });
    expect((await change('nothing/load', { headers: bearer })).status).toBe(404);
  });
});

describe('V1', () => {
  let url = '';
  beforeAll(async () => {
    ({ url } = await scoring.serve([digits]));
  });

  it('names its models, and says whether one is ready', async () => {
    expect((await ask(`${url}/v1/models`)).json).toEqual({ models: ['digits'] });
    expect((await ask(`${url}/v1/models/digits`)).json).toEqual({ name: 'digits', ready: true });
    expect((await ask(`${url}/v1/models/cats`)).json).toEqual({
      error: 'no model "cats" here; this host serves digits',
    });
  });

  it('predicts rows, and whole inputs', async () => {
    const row = [Array.from({ length: 8 }, () => Array.from({ length: 8 }, () => 1))];
    const rows = await post(`${url}/v1/models/digits:predict`, { instances: [row, row] });
    expect(rows.status).toBe(200);
    const { predictions } = rows.json as { predictions: { label: number; probabilities: number[] }[] };
    expect(predictions).toHaveLength(2);
    expect(predictions[0]).toEqual(predictions[1]);
    expect(predictions[0]?.probabilities).toHaveLength(10);
    const whole = await post(`${url}/v1/models/digits:predict`, { inputs: { image: [row] } });
    expect(whole.json).toEqual({
      outputs: { label: [predictions[0]?.label], probabilities: [predictions[0]?.probabilities] },
    });
    expect(whole.headers.get('flotilla-model')).toBe('digits');
  });

  it.each([
    ['digits:predict', '{', 400],
    ['digits:explain', '{}', 404],
    ['digits:predict:x', '{}', 404],
    ['cats:predict', '{}', 404],
    ['digits', '{}', 405],
  ])('POST %s with %s is %d', async (target, body, status) => {
    const answer = await post(`${url}/v1/models/${target}`, body);
    expect(answer.status).toBe(status);
    expect(Object.keys(answer.json as object)).toEqual(['error']);
  });
});
