/**
 * A scoring request without a version in its URL passes the framework by; one with it does not. Both must
 * answer alike, whatever is asked.
 */
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeInferRequest } from '#shared/scoring/codec/infer-request.js';
import { fixtures, hostedModule, Scoring } from '#test/support/scoring-harness.js';

const maxBodyBytes = 4096;
const x = { name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] };
const good = JSON.stringify({ id: 'a', inputs: [x] });
const withInput = (change: object): string => JSON.stringify({ inputs: [{ ...x, ...change }] });
const packed = encodeInferRequest([{ ...x, datatype: 'FP32', data: Float32Array.of(1, 2, 3, 4) }]);
const packedLength = { 'inference-header-content-length': String(packed.jsonLength) };
const json = { 'content-type': 'application/json' };

interface Asked {
  readonly body: string | Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly chunked?: boolean;
  readonly status: number;
}

const requests: Readonly<Record<string, Asked>> = {
  'a good request': { body: good, status: 200 },
  'a good request that names its type at length': {
    body: good,
    headers: { 'content-type': 'application/json; charset=utf-8' },
    status: 200,
  },
  'a good request in chunks': { body: good, chunked: true, status: 200 },
  'a good request of an id of its own': { body: good, headers: { 'x-request-id': 'mine' }, status: 200 },
  'a good request that pins the version': { body: good, headers: { 'flotilla-version': '1' }, status: 200 },
  'an output that is asked for': { body: JSON.stringify({ inputs: [x], outputs: [{ name: 'y' }] }), status: 200 },
  'binary tensors': { body: packed.body, headers: packedLength, status: 200 },
  'raw data': {
    body: new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer),
    headers: { 'inference-header-content-length': '0' },
    status: 200,
  },
  'an encoding of nothing': { body: good, headers: { 'content-encoding': 'identity' }, status: 200 },
  'no body': { body: '', headers: json, status: 400 },
  'JSON that is cut': { body: good.slice(0, -2), status: 400 },
  'bytes that are no JSON': { body: Uint8Array.of(0xff, 0xfe, 0), headers: json, status: 400 },
  'an unknown input': { body: withInput({ name: 'z' }), status: 400 },
  'an input twice': { body: JSON.stringify({ inputs: [x, x] }), status: 400 },
  'no inputs': { body: '{}', status: 400 },
  'a wrong datatype': { body: withInput({ datatype: 'INT32' }), status: 400 },
  'a datatype that there is not': { body: withInput({ datatype: 'FP31' }), status: 400 },
  'a wrong shape': { body: withInput({ shape: [1, 3] }), status: 400 },
  'a wrong count of values': { body: withInput({ data: [1] }), status: 400 },
  'an unknown output': { body: JSON.stringify({ inputs: [x], outputs: [{ name: 'z' }] }), status: 400 },
  'a timeout that is no number': { body: good, headers: { 'flotilla-timeout-ms': 'soon' }, status: 400 },
  'a JSON length beyond the body': {
    body: good,
    headers: { 'inference-header-content-length': '9999' },
    status: 400,
  },
  'a JSON length that is no number': {
    body: good,
    headers: { 'inference-header-content-length': 'ten' },
    status: 400,
  },
  'a body too large': { body: good.padEnd(maxBodyBytes + 1), status: 413 },
  'a body too large in chunks': { body: good.padEnd(maxBodyBytes + 1), chunked: true, status: 413 },
  'a content type that is not served': { body: good, headers: { 'content-type': 'text/html' }, status: 415 },
  'a compressed body': {
    body: new Uint8Array(gzipSync(good)),
    headers: { ...json, 'content-encoding': 'gzip' },
    status: 415,
  },
};

const scoring = new Scoring();
afterAll(() => scoring.end());

/** Ids are new for each request unless it brings its own, and dates go on. */
async function ask(url: string, { body, headers = {}, chunked = false }: Asked): Promise<object> {
  const bytes = new Blob([body]);
  const response = await fetch(url, {
    method: 'POST',
    headers: { ...(typeof body === 'string' && body !== '' ? json : {}), ...headers },
    ...(chunked ? { body: bytes.stream(), duplex: 'half' } : { body: await bytes.arrayBuffer() }),
  } as RequestInit);
  const fields = Object.fromEntries(response.headers);
  delete fields['date'];
  const id = fields['x-request-id'];
  if (headers['x-request-id'] === undefined) fields['x-request-id'] = typeof id;
  return { status: response.status, fields, body: Buffer.from(await response.arrayBuffer()).toString('latin1') };
}

describe('the quick way of scoring and that of the framework', () => {
  let base = '';
  beforeAll(async () => {
    const modules = [hostedModule(fixtures, 'add-one.onnx', { name: 'add-one' })];
    const { url } = await scoring.serve(modules, { maxBodyBytes, labels: { generation: '7' } });
    base = `${url}/v2/models/add-one`;
  });

  it.each(Object.entries(requests))('answer alike: %s', async (_, asked) => {
    const quick = await ask(`${base}/infer`, asked);
    expect(quick).toMatchObject({ status: asked.status });
    expect(quick).toEqual(await ask(`${base}/versions/1/infer`, asked));
  });

  it('refuse a content type that is none with one status, the framework in words of its own', async () => {
    const asked = { body: good, headers: { 'content-type': 'nonsense' } };
    for (const path of ['/infer', '/versions/1/infer']) {
      const answer = await ask(base + path, { ...asked, status: 415 });
      expect(answer).toMatchObject({ status: 415, body: expect.stringMatching(/^\{"error":"/) as string });
    }
  });
});
