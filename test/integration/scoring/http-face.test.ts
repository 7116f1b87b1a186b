import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultScoringOptions } from '#shared/package/scoring-options.js';
import { decodeSketch } from '#shared/protocol/sketch.js';
import type { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';
import { convolutionModel } from '#test/support/onnx-writer.js';
import { answered, digits, hostedModule, post, Scoring } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterAll(() => scoring.end());

const image = { name: 'image', shape: [1, 1, 8, 8], datatype: 'FP32', data: Array.from({ length: 64 }, () => 1) };
const good = { inputs: [image] };

describe('a host of one module', () => {
  let url = '';
  let port = 0;
  let host: ScoringHostProcess;
  beforeAll(async () => {
    ({ url, port, host } = await scoring.serve([digits], { maxBodyBytes: 4096, labels: { generation: '7' } }));
  });

  it.each([
    ['/', 200, 'Healthy'],
    ['/v2', 200, '"name":"flotilla"'],
    ['/v2/', 200, 'binary_tensor_data'],
    ['/v2/health/live', 200, '{"live":true}'],
    ['/v2/health/ready/', 200, '{"ready":true}'],
    ['/v2/models/digits', 200, '"platform":"onnx_onnxv1"'],
    ['/v2/models/digits/', 200, '"shape":[-1,1,8,8]'],
    ['/v2/models/digits/ready', 200, '{"name":"digits","ready":true}'],
    ['/v2/models/digits/versions/1/ready?x=1', 200, '"ready":true'],
    [
      '/v2/models/digits/versions/2',
      404,
      '{"error":"no version \\"2\\" of model \\"digits\\" here; this host serves version 1"}',
    ],
    ['/v2/models/cats', 404, '{"error":"no model \\"cats\\" here; this host serves digits"}'],
    ['/v2/nothing', 404, '{"error":"nothing answers at /v2/nothing here"}'],
    ['/nothing', 404, '{"message":"nothing answers at /nothing here"}'],
    ['/v2/%zz', 400, '{"error":'],
    ['/score', 400, '{"message":"input \\"image\\" is missing'],
    ['/v2/models/digits/infer', 405, '{"error":"GET is not allowed at /v2/models/digits/infer: use POST"}'],
  ])('GET %s is %d', async (path, status, text) => {
    const response = await fetch(url + path);
    expect(response.status).toBe(status);
    expect(await response.text()).toContain(text);
  });

  it('says on every answer what it came from, and echoes the request id', async () => {
    const answer = await post(`${url}/v2/models/digits/infer`, good, { 'x-request-id': 'abc-1' });
    const headers = Object.fromEntries(answer.headers);
    expect(headers).toMatchObject({
      'flotilla-model': 'digits',
      'flotilla-version': '1',
      'flotilla-digest': digits.digest,
      'flotilla-provider': 'cpu',
      'flotilla-generation': '7',
      'x-request-id': 'abc-1',
    });
    host.labels({ generation: '8' });
    await host.stats();
    const next = await post(`${url}/score`, {});
    expect(next.status).toBe(400);
    expect(next.headers.get('flotilla-generation')).toBe('8');
    expect(next.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('takes infer without a content type, as some clients send it', async () => {
    const body = new TextEncoder().encode(JSON.stringify(good));
    const response = await answered(await fetch(`${url}/v2/models/digits/infer?a=b`, { method: 'POST', body }));
    expect(response.status).toBe(200);
  });

  it.each([
    [
      'an unknown input',
      { inputs: [{ ...image, name: 'img' }] },
      {},
      400,
      /no input "img"; its inputs are "image" FP32 \[batch,1,8,8\]/,
    ],
    [
      'a wrong shape',
      { inputs: [{ ...image, shape: [1, 64] }] },
      {},
      400,
      /"image": the model expects FP32 \[batch,1,8,8\], got FP32 \[1,64\]/,
    ],
    ['a wrong type', { inputs: [{ ...image, datatype: 'FP64' }] }, {}, 400, /got FP64 \[1,1,8,8\]/],
    ['a missing input', { inputs: [] }, {}, 400, /input "image" is missing/],
    ['NaN', '{"inputs":[{"name":"image","data":[NaN]}]}', {}, 400, /JSON has no NaN/],
    ['no body', '', {}, 400, /the body is empty/],
    ['a body too large', 'x'.repeat(5000), {}, 413, /larger than 4096 bytes/],
    [
      'a wrong content type',
      '<a/>',
      { 'content-type': 'text/xml' },
      415,
      /content type "text\/xml" is not served: send application\/json/,
    ],
    [
      'a bad header length',
      good,
      { 'inference-header-content-length': 'x' },
      400,
      /must be a number of bytes, got "x"/,
    ],
    [
      'a header length beyond the body',
      good,
      { 'inference-header-content-length': '9999' },
      400,
      /is 9999, the whole body has/,
    ],
    ['a raw request of another size', good, { 'inference-header-content-length': '0' }, 400, /has 256 bytes, got 202/],
  ])('refuses %s in words, on both faces', async (_, body, headers, status, message) => {
    for (const [path, key] of [
      ['/v2/models/digits/infer', 'error'],
      ['/score', 'message'],
    ] as const) {
      // What is no V2 request is plain on /score: other words, same status.
      const answer = await post(url + path, body, headers);
      expect(answer.status).toBe(status);
      const text = (answer.json as Record<string, string>)[key];
      if (key === 'error' || text?.includes('send a V2') !== true)
        expect(text).toMatch(key === 'error' ? message : /./);
    }
  });

  it('refuses a body too large that does not say its size', async () => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        for (let index = 0; index < 8; index++) controller.enqueue(new Uint8Array(1024));
        controller.close();
      },
    });
    const init = {
      method: 'POST',
      body,
      duplex: 'half',
      headers: { 'content-type': 'application/json' },
    } as RequestInit;
    expect((await answered(await fetch(`${url}/score`, init))).status).toBe(413);
  });

  it.each([
    ['a method that nobody serves', 'QUERY', 'application/json', 405],
    ['a content type that is none', 'POST', 'nonsense', 415],
    ['TRACE', 'TRACE', 'application/json', 405],
  ])('refuses %s, and does not take it for a bug', async (_, method, type, expectedStatus) => {
    const socket = connect(port, '127.0.0.1');
    socket.write(
      `${method} /v2/models/digits/infer HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${type}\r\ncontent-length: 2\r\n\r\n{}`,
    );
    const head = await new Promise<string>((resolve) => socket.once('data', (chunk) => resolve(chunk.toString())));
    socket.destroy();
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${String(expectedStatus)} `));
    if (expectedStatus === 405) expect(head).toMatch(/\r\nallow: /i);
  });

  it('goes on after a client that leaves in the middle of its body', async () => {
    const socket = connect(port, '127.0.0.1');
    socket.write('POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{');
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
    expect((await post(`${url}/score`, good)).status).toBe(200);
  });

  it('counts requests, errors by code and latencies, each once', async () => {
    await host.stats();
    await post(`${url}/score`, good);
    await post(`${url}/v2/models/digits/infer`, good);
    await post(`${url}/score`, '{');
    await post(`${url}/score`, '', { 'content-type': 'text/xml' });
    const stats = await host.stats();
    expect(stats.rssBytes).toBeGreaterThan(1e6);
    expect(stats.modules.find(({ name }) => name === 'digits')).toMatchObject({
      requests: 4,
      errors: { 'score.invalid-input': 1, 'request.unsupported-type': 1 },
      version: 1,
      digest: digits.digest,
      provider: 'cpu',
    });
    const latency = stats.modules[0]?.latencyMs;
    expect(latency && decodeSketch(latency)?.count).toBe(2);
    expect((await host.stats()).modules[0]?.requests).toBe(0);
  });
});

describe('a busy host', () => {
  it('keeps answering live, refuses beyond its queue with Retry-After, and ends when drained', async () => {
    const folder = await scoring.folder();
    await writeFile(join(folder, 'slow.onnx'), convolutionModel({ layers: 12, channels: 48, size: 48, halveEvery: 0 }));
    const options = { ...defaultScoringOptions, queue: { ...defaultScoringOptions.queue, maxRows: 128 } };
    const { host, url } = await scoring.serve([hostedModule(folder, 'slow.onnx', { name: 'slow', scoring: options })]);
    const body = {
      inputs: [{ name: 'x', shape: [1, 3, 48, 48], datatype: 'FP32', parameters: { binary_data_size: 27_648 } }],
    };
    const head = new TextEncoder().encode(JSON.stringify(body));
    const request = new Uint8Array(head.length + 27_648);
    request.set(head);
    const headers = { 'inference-header-content-length': String(head.length) };

    let finishedRuns = 0;
    const runs = Array.from({ length: 320 }, (_, index) =>
      post(index % 2 === 0 ? `${url}/score` : `${url}/v2/models/slow/infer`, request, headers).then((answer) => {
        if (answer.status === 200) finishedRuns += 1;
        return answer;
      }),
    );
    const live: number[] = [];
    for (let count = 0; count < 10; count++) {
      live.push((await fetch(`${url}/v2/health/live`)).status);
    }
    // On a blocked front, ten rounds would have waited for all of the runs that the queue took.
    expect(finishedRuns).toBeLessThan(128);
    expect(live).toEqual(Array.from({ length: 10 }, () => 200));

    const answers = await Promise.all(runs);
    const refused = answers.filter(({ status }) => status === 503 || status === 429);
    expect(refused.length).toBeGreaterThan(0);
    expect(answers.every(({ status }) => [200, 429, 503].includes(status))).toBe(true);
    for (const answer of refused) {
      expect(answer.headers.get('retry-after')).toBe('1');
      expect(Object.keys(answer.json as object)).toEqual([answer.status === 503 ? 'error' : 'message']);
    }
    const under = post(`${url}/score`, request, headers);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const last = await host.drain(20_000);
    expect((await under).status).toBe(200);
    expect(last.modules[0]?.errors['score.overloaded']).toBe(refused.length);
    expect(await host.exited).toMatchObject({ code: 0, signal: null });
  });
});
