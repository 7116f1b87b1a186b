import { describe, expect, it } from 'vitest';
import { classify } from '#shared/scoring/codec/classification.js';
import { parseJsonText } from '#shared/scoring/codec/json-text.js';
import { encodePredictResponse, readPredictRequest } from '#shared/scoring/codec/predict-request.js';
import { queryToJson } from '#shared/scoring/codec/query-input.js';
import { readRawRequest } from '#shared/scoring/codec/raw-request.js';
import { readHeaderHints } from '#shared/scoring/codec/request-hints.js';
import type { ModelSignature, TensorSignature } from '#shared/scoring/codec/tensor.js';
import { paceLeftMs } from '#shared/scoring/body-pace.js';

const taking = (...inputs: TensorSignature[]): ModelSignature => ({ inputs, outputs: [] });
const input = (
  datatype: TensorSignature['datatype'],
  shape: TensorSignature['shape'],
  name = 'x',
): TensorSignature => ({
  name,
  datatype,
  shape,
});
const bytes = (...list: number[]): Uint8Array<ArrayBuffer> => Uint8Array.from(list);
const text = (value: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(value);

describe('a raw binary request', () => {
  it('is a batch of one where the first of several dimensions is free', () => {
    const tensor = readRawRequest(bytes(1, 2, 3), taking(input('UINT8', ['batch', 3])));
    expect(tensor).toEqual({ name: 'x', datatype: 'UINT8', shape: [1, 3], data: bytes(1, 2, 3) });
    expect(() => readRawRequest(new Uint8Array(6), taking(input('UINT8', ['batch', 3])))).toThrowError(
      /UINT8 \[batch,3\] has 3 bytes, got 6/,
    );
  });

  it('gives the one free dimension its size', () => {
    expect(readRawRequest(new Uint8Array(12), taking(input('INT16', ['', 2, ''])))).toMatchObject({ shape: [1, 2, 3] });
    expect(readRawRequest(new Uint8Array(8), taking(input('FP32', ['n'])))).toMatchObject({ shape: [2] });
    expect(() => readRawRequest(new Uint8Array(6), taking(input('FP32', ['n'])))).toThrowError(
      /a multiple of 4 bytes, got 6/,
    );
  });

  it('is one string for BYTES of one element', () => {
    expect(readRawRequest(text('grüß'), taking(input('BYTES', ['n'])))).toMatchObject({ shape: [1], data: ['grüß'] });
    expect(readRawRequest(text(''), taking(input('BYTES', ['n', 1])))).toMatchObject({ shape: [1, 1], data: [''] });
    expect(() => readRawRequest(text('a'), taking(input('BYTES', [2])))).toThrowError(/more than one element/);
    expect(() => readRawRequest(bytes(0xff), taking(input('BYTES', [1])))).toThrowError(/not UTF-8/);
  });

  it.each([
    ['two inputs', taking(input('FP32', [1]), input('FP32', [1], 'y')), /has 2 inputs/],
    ['two sizes that it cannot tell', taking(input('FP32', [1, 'h', 'w'])), /2 dimensions of FP32 \[1,h,w\] are free/],
    ['a byte that is no boolean', taking(input('BOOL', [1])), /byte 0 is 7/],
  ])('is refused for %s', (_, signature, message) => {
    expect(() => readRawRequest(bytes(7), signature)).toThrowError(message);
  });
});

describe('classification', () => {
  it('gives the largest of each row, the first of equal ones first, with six decimals', () => {
    const data = Float32Array.of(0.25, 1, 0.5, 3, NaN, 3);
    expect(classify({ name: 'p', datatype: 'FP32', shape: [2, 3], data }, 2, true)).toEqual({
      name: 'p',
      datatype: 'BYTES',
      shape: [2, 2],
      data: ['1.000000:1', '0.500000:2', '3.000000:0', '3.000000:2'],
    });
  });

  it('gives what there is, where more is asked for', () => {
    const data = BigInt64Array.of(5n, -1n);
    expect(classify({ name: 'p', datatype: 'INT64', shape: [2], data }, 9, false)).toMatchObject({
      shape: [2],
      data: ['5:0', '-1:1'],
    });
  });

  it('is refused for text', () => {
    expect(() => classify({ name: 'p', datatype: 'BYTES', shape: [1], data: ['a'] }, 1, false)).toThrowError(
      /cannot be classified/,
    );
  });
});

describe('a V1 prediction', () => {
  const two = taking(input('FP32', ['n', 2], 'a'), input('INT64', ['n'], 'b'));
  const read = (json: string, signature: ModelSignature): ReturnType<typeof readPredictRequest> =>
    readPredictRequest(parseJsonText(text(json)), signature);

  it('takes rows without a name where the model has one input', () => {
    const { inputs, rows } = read('{"instances":[[1,2],[3,4],[5,6]]}', taking(input('FP32', ['n', 2])));
    expect(rows).toBe(3);
    expect(inputs).toEqual([{ name: 'x', datatype: 'FP32', shape: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) }]);
  });

  it('takes rows of named inputs, exact for long integers', () => {
    const { inputs } = read('{"instances":[{"a":[1,2],"b":9007199254740993},{"b":-1,"a":[3,4]}]}', two);
    expect(inputs).toEqual([
      { name: 'a', datatype: 'FP32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
      { name: 'b', datatype: 'INT64', shape: [2], data: BigInt64Array.of(9007199254740993n, -1n) },
    ]);
  });

  it('takes whole inputs, named or the only one', () => {
    expect(read('{"inputs":{"a":[[1,2]],"b":[7]}}', two)).toMatchObject({
      rows: undefined,
      inputs: [{ shape: [1, 2] }, {}],
    });
    expect(read('{"inputs":[[1,2]]}', taking(input('FP32', ['n', 2])))).toMatchObject({ inputs: [{ name: 'x' }] });
  });

  it.each([
    ['[]', /is a JSON object/],
    ['{}', /neither "instances" \(rows\) nor "inputs"/],
    ['{"instances":[1],"inputs":[1]}', /both "instances" and "inputs"/],
    ['{"instances":[]}', /at least one row/],
    ['{"instances":[[1,2]]}', /has 2 inputs: each of "instances" must be an object \{"a": FP32 \[n,2\], "b"/],
    ['{"inputs":[[1,2]]}', /has 2 inputs: "inputs" must be an object/],
    ['{"instances":[{"a":[1,2],"b":1},{"a":[1,2]}]}', /instances\[1\] has no "b"/],
    ['{"instances":[{"a":[1,2]},{"a":[1,2],"b":1}]}', /instances\[1\] has "b", which the first one has not/],
    ['{"instances":[{"a":[1,2],"__proto__":1}]}', /the model has no input "__proto__"/],
  ])('refuses %s', (json, message) => {
    expect(() => read(json, two)).toThrowError(message);
  });

  it('answers rows by rows: values of one output, objects of several', () => {
    const p = { name: 'p', datatype: 'FP32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) } as const;
    const s = { name: 's', datatype: 'BYTES', shape: [2], data: ['a', 'b'] } as const;
    const answer = (...args: Parameters<typeof encodePredictResponse>): unknown =>
      JSON.parse(new TextDecoder().decode(encodePredictResponse(...args)));
    const tensors = [p, { ...s, data: [...s.data] }];
    expect(answer([p], 2)).toEqual({
      predictions: [
        [1, 2],
        [3, 4],
      ],
    });
    expect(answer(tensors, 2)).toEqual({
      predictions: [
        { p: [1, 2], s: 'a' },
        { p: [3, 4], s: 'b' },
      ],
    });
    expect(answer([p], undefined)).toEqual({
      outputs: [
        [1, 2],
        [3, 4],
      ],
    });
    expect(answer(tensors, undefined)).toEqual({
      outputs: {
        p: [
          [1, 2],
          [3, 4],
        ],
        s: ['a', 'b'],
      },
    });
    expect(() => encodePredictResponse([p], 3)).toThrowError(/not one row for each of 3 instances/);
  });
});

describe('a query as input', () => {
  it.each([
    ['a=1&b=[1,2]&c=a&d=null', '{"a":1,"b":[1,2],"c":"a","d":null}'],
    ['foo=bar1&x=y&foo=2', '{"foo":["bar1",2],"x":"y"}'],
    ['n=12345678901234567890', '{"n":12345678901234567890}'],
    ['t=a+b%22&e=&__proto__=1', '{"t":"a b\\"","e":"","__proto__":1}'],
    ['', '{}'],
  ])('%s is %s', (query, json) => {
    expect(queryToJson(query)).toBe(json);
  });
});

describe('hints in headers', () => {
  it('are priority and timeout, and 0 asks for the default', () => {
    expect(readHeaderHints({ 'flotilla-priority': '2', 'flotilla-timeout-ms': '50' })).toEqual({
      priority: 2,
      timeoutMs: 50,
    });
    expect(readHeaderHints({ 'flotilla-priority': '0', 'flotilla-timeout-ms': '0' })).toEqual({});
    expect(() => readHeaderHints({ 'flotilla-timeout-ms': '-1' })).toThrowError(
      /flotilla-timeout-ms must be an integer from 0/,
    );
  });
});

describe('the pace of a body', () => {
  const pace = { graceMs: 1000, bytesPerSecond: 100 };
  it('is free for a while, then an average', () => {
    expect(paceLeftMs(pace, 999, 0)).toBeGreaterThan(0);
    expect(paceLeftMs(pace, 1000, 0)).toBe(0);
    expect(paceLeftMs(pace, 3000, 250)).toBe(500);
  });
});
