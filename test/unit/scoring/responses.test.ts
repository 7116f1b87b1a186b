import { describe, expect, it } from 'vitest';
import { encodeInferResponse, readInferResponse } from '#shared/scoring/codec/infer-response.js';
import { parseJsonText, quoteLongIntegers } from '#shared/scoring/codec/json-text.js';
import { encodePlainResponse, isInferRequest, readPlainRequest } from '#shared/scoring/codec/plain-request.js';
import type { ModelSignature, Tensor } from '#shared/scoring/codec/tensor.js';

const decoder = new TextDecoder();
const respond = (tensor: Tensor, binary = false): ReturnType<typeof encodeInferResponse> =>
  encodeInferResponse({ modelName: 'm', modelVersion: '1', id: undefined, outputs: [{ tensor, binary }] });

describe('encodeInferResponse', () => {
  it('writes the fields of the protocol, and the id where there was one', () => {
    const tensor: Tensor = { name: 'y', datatype: 'FP32', shape: [2], data: Float32Array.of(0.5, -1) };
    const { body, jsonLength } = encodeInferResponse({
      modelName: 'm',
      modelVersion: '7',
      id: 'a"b',
      outputs: [{ tensor, binary: false }],
    });
    expect(jsonLength).toBeUndefined();
    expect(JSON.parse(decoder.decode(body))).toEqual({
      id: 'a"b',
      model_name: 'm',
      model_version: '7',
      outputs: [{ name: 'y', datatype: 'FP32', shape: [2], data: [0.5, -1] }],
    });
  });

  it('keeps 64-bit integers exact in JSON', () => {
    const tensor: Tensor = { name: 'y', datatype: 'INT64', shape: [1], data: BigInt64Array.of(-9223372036854775808n) };
    const { body } = respond(tensor);
    expect(decoder.decode(body)).toContain('"data":[-9223372036854775808]');
    expect(readInferResponse(body, undefined)).toEqual([tensor]);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'refuses %d in JSON, naming output, element and remedy; binary carries it',
    (value) => {
      const tensor: Tensor = { name: 'y', datatype: 'FP32', shape: [2], data: Float32Array.of(0, value) };
      expect(() => respond(tensor)).toThrowError(/output "y": element 1 is (NaN|Infinity).*binary/);
      const { body, jsonLength } = respond(tensor, true);
      expect(readInferResponse(body, jsonLength)).toEqual([tensor]);
    },
  );

  it('refuses FP16 in JSON', () => {
    expect(() => respond({ name: 'y', datatype: 'FP16', shape: [1], data: Uint16Array.of(1) })).toThrowError(/FP16/);
  });
});

describe('the plain form', () => {
  const signature: ModelSignature = {
    inputs: [
      { name: 'a', datatype: 'FP32', shape: ['n', 2] },
      { name: 'rate', datatype: 'INT64', shape: [] },
    ],
    outputs: [],
  };
  const read = (body: string): Tensor[] => readPlainRequest(parseJsonText(new TextEncoder().encode(body)), signature);

  it('takes shapes from nesting, types from the graph, and a bare value as scalar', () => {
    expect(read('{"rate": 9007199254740993, "a": [[1,2],[3,4]]}')).toEqual([
      { name: 'a', datatype: 'FP32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
      { name: 'rate', datatype: 'INT64', shape: [], data: BigInt64Array.of(9007199254740993n) },
    ]);
  });

  it.each([
    ['{"a": [[1,2]]}', /input "rate" is missing/],
    ['{"a": [1,2], "rate": 1}', /expects FP32 \[n,2\], got FP32 \[2\]/],
    ['{"a": [[1,2],[3]], "rate": 1}', /dimension 1 needs arrays of 2/],
    [
      '{"b": [[1,2]], "rate": 1}',
      /no input "b"; send a V2 inference request, or \{"a": FP32 \[n,2\], "rate": INT64 \[\]\}/,
    ],
    ['[1]', /got \[1\]/],
  ])('refuses %s', (body, message) => {
    expect(() => read(body)).toThrowError(message);
  });

  it('is told from a V2 request by what inputs holds', () => {
    expect(isInferRequest({ inputs: [{ name: 'a' }] })).toBe(true);
    expect(isInferRequest({ inputs: [[1, 2]] })).toBe(false);
    expect(isInferRequest({ a: 1 })).toBe(false);
  });

  it('answers nested, scalars bare', () => {
    const outputs: Tensor[] = [
      { name: 'p', datatype: 'FP32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
      { name: 's', datatype: 'INT64', shape: [], data: BigInt64Array.of(5n) },
      { name: 't', datatype: 'BYTES', shape: [1, 2], data: ['a,b', ']'] },
      { name: 'e', datatype: 'FP32', shape: [2, 0], data: new Float32Array(0) },
    ];
    expect(JSON.parse(decoder.decode(encodePlainResponse(outputs)))).toEqual({
      p: [
        [1, 2],
        [3, 4],
      ],
      s: 5,
      t: [['a,b', ']']],
      e: [[], []],
    });
  });
});

describe('quoteLongIntegers', () => {
  it('touches integers of 16 and more digits outside strings, nothing else', () => {
    expect(
      quoteLongIntegers('[1234567890123456,-1234567890123456789,"1234567890123456",0.1234567890123456789,1e22]'),
    ).toBe('["1234567890123456","-1234567890123456789","1234567890123456",0.1234567890123456789,1e22]');
    expect(quoteLongIntegers('{"a\\"1234567890123456":true}')).toBe('{"a\\"1234567890123456":true}');
  });
});
