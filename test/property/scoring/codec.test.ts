import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import {
  encodeInferRequest,
  readInferRequest,
  resolveInputs,
  resolveOutputs,
} from '#shared/scoring/codec/infer-request.js';
import { encodeInferResponse, readInferResponse } from '#shared/scoring/codec/infer-response.js';
import { parseJsonText, quoteLongIntegers } from '#shared/scoring/codec/json-text.js';
import { encodePlainResponse, readPlainRequest } from '#shared/scoring/codec/plain-request.js';
import { datatypes, elementCount, type ModelSignature, type Tensor } from '#shared/scoring/codec/tensor.js';

const arrays = {
  BOOL: fc.integer({ min: 0, max: 1 }),
  UINT8: fc.integer({ min: 0, max: 255 }),
  UINT16: fc.integer({ min: 0, max: 65_535 }),
  UINT32: fc.integer({ min: 0, max: 4_294_967_295 }),
  INT8: fc.integer({ min: -128, max: 127 }),
  INT16: fc.integer({ min: -32_768, max: 32_767 }),
  INT32: fc.integer({ min: -2_147_483_648, max: 2_147_483_647 }),
  FP16: fc.integer({ min: 0, max: 65_535 }),
} as const;

function dataOf(datatype: Tensor['datatype'], count: number): fc.Arbitrary<Tensor['data']> {
  const size = { minLength: count, maxLength: count };
  switch (datatype) {
    case 'BYTES':
      return fc.array(fc.string({ unit: 'grapheme' }), size);
    case 'INT64':
      return fc
        .array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), size)
        .map((list) => BigInt64Array.from(list));
    case 'UINT64':
      return fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), size).map((list) => BigUint64Array.from(list));
    case 'FP32':
      return fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), size).map((list) => Float32Array.from(list));
    case 'FP64':
      return fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), size).map((list) => Float64Array.from(list));
    case 'BOOL':
    case 'UINT8':
      return fc.array(arrays[datatype], size).map((list) => Uint8Array.from(list));
    case 'UINT16':
    case 'FP16':
      return fc.array(arrays[datatype], size).map((list) => Uint16Array.from(list));
    case 'UINT32':
      return fc.array(arrays.UINT32, size).map((list) => Uint32Array.from(list));
    case 'INT8':
      return fc.array(arrays.INT8, size).map((list) => Int8Array.from(list));
    case 'INT16':
      return fc.array(arrays.INT16, size).map((list) => Int16Array.from(list));
    case 'INT32':
      return fc.array(arrays.INT32, size).map((list) => Int32Array.from(list));
  }
}

const shapes = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 });
const tensorNamed = (name: string, types: readonly Tensor['datatype'][]): fc.Arbitrary<Tensor> =>
  fc
    .tuple(fc.constantFrom(...types), shapes)
    .chain(([datatype, shape]) =>
      dataOf(datatype, elementCount(shape)).map((data) => ({ name, datatype, shape, data })),
    );
const tensors = (types: readonly Tensor['datatype'][]): fc.Arbitrary<Tensor[]> =>
  fc
    .integer({ min: 1, max: 4 })
    .chain((count) =>
      fc.tuple(...Array.from({ length: count }, (_, index) => tensorNamed(`t${String(index)}`, types))),
    );

const signatureOf = (list: readonly Tensor[]): ModelSignature => ({ inputs: list, outputs: list });
const inJson = datatypes.filter((datatype) => datatype !== 'FP16');
/** -0 is 0 in JSON. */
const positiveZero = (tensor: Tensor): Tensor =>
  tensor.data instanceof Float32Array || tensor.data instanceof Float64Array
    ? { ...tensor, data: tensor.data.map((value) => value + 0) }
    : tensor;

/** Passes when nothing is thrown, or only what the codecs may throw. */
function onlyInvalidInput(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'score.invalid-input') throw error;
  }
}

const anySignature: ModelSignature = {
  inputs: [
    { name: 'x', datatype: 'FP32', shape: ['n', 2] },
    { name: 's', datatype: 'BYTES', shape: ['n'] },
    { name: 'i', datatype: 'INT64', shape: [] },
  ],
  outputs: [{ name: 'y', datatype: 'FP32', shape: ['n'] }],
};

function readAll(body: Uint8Array<ArrayBuffer>, jsonLength: number | undefined): void {
  onlyInvalidInput(() => {
    const request = readInferRequest(body, jsonLength);
    resolveOutputs(request, anySignature);
    for (const input of request.inputs) onlyInvalidInput(input.data);
    resolveInputs(request.inputs, anySignature);
  });
  onlyInvalidInput(() => readInferResponse(body, jsonLength));
  onlyInvalidInput(() => readPlainRequest(parseJsonText(body.subarray(0, jsonLength)), anySignature));
}

describe('tensors through the codec', () => {
  it('come back from binary as they were', () => {
    fc.assert(
      fc.property(tensors(datatypes), (list) => {
        const { body, jsonLength } = encodeInferRequest(list);
        const read = readInferRequest(body, jsonLength);
        expect(resolveInputs(read.inputs, signatureOf(list))).toEqual(list);
      }),
    );
  });

  it('come back from a response as they were, JSON, binary or mixed', () => {
    fc.assert(
      fc.property(tensors(inJson), fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), (list, binary) => {
        const outputs = list.map((tensor, index) => ({ tensor, binary: binary[index] ?? false }));
        const { body, jsonLength } = encodeInferResponse({ modelName: 'm', modelVersion: '1', id: 'i', outputs });
        expect(readInferResponse(body, jsonLength).map(positiveZero)).toEqual(list.map(positiveZero));
      }),
    );
  });

  it('come back from the plain form as they were, where nesting says the whole shape', () => {
    fc.assert(
      fc.property(tensors(inJson), (list) => {
        const told = list.filter((tensor) => elementCount(tensor.shape) > 0);
        const body = encodePlainResponse(told);
        expect(readPlainRequest(parseJsonText(body), signatureOf(told)).map(positiveZero)).toEqual(
          told.map(positiveZero),
        );
      }),
    );
  });
});

describe('hostile bytes', () => {
  it('random ones are refused by the one typed error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.option(fc.nat(250), { nil: undefined }), (body, length) => {
        readAll(new Uint8Array(body), length);
      }),
      { numRuns: 500 },
    );
  });

  it('any JSON is refused by the one typed error', () => {
    fc.assert(
      fc.property(fc.json(), (text) => readAll(new TextEncoder().encode(text), undefined)),
      { numRuns: 500 },
    );
  });

  it.each([10_000, 200_000])('JSON nested %i deep, anywhere, is refused by the one typed error', (depth) => {
    const deep = `${'['.repeat(depth)}1${']'.repeat(depth)}`;
    const input = (change: string) => `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],${change}}]}`;
    const places = [deep, `{"x":${deep}}`, `{"inputs":${deep}}`, input(`"data":${deep}`), input(`"data":[${deep}]`)];
    for (const body of [...places, input(`"data":[1],"shape":${deep}`), input(`"data":[1],"name":${deep}`)]) {
      readAll(new TextEncoder().encode(body), undefined);
    }
  });

  it('requests with one part replaced by anything are refused by the one typed error', () => {
    const field = fc.constantFrom('name', 'shape', 'datatype', 'data', 'parameters');
    fc.assert(
      fc.property(field, fc.jsonValue(), fc.boolean(), (name, value, binary) => {
        const input = { name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 2], [name]: value };
        const text = JSON.stringify({ inputs: [input], outputs: [{ name: 'y', parameters: value }] });
        const body = new TextEncoder().encode(text);
        readAll(body, binary ? body.length : undefined);
      }),
      { numRuns: 1000 },
    );
  });

  it('good requests that are cut, or whose header length is off, are refused by the one typed error', () => {
    fc.assert(
      fc.property(tensors(datatypes), fc.nat(40), fc.integer({ min: -3, max: 3 }), (list, cut, off) => {
        const { body, jsonLength } = encodeInferRequest(list);
        readAll(body.slice(0, Math.max(0, body.length - cut)), jsonLength);
        readAll(body, Math.max(0, jsonLength + off));
        if (off !== 0) {
          expect(() => readInferRequest(body, jsonLength + off)).toThrowError(AppError);
        }
      }),
    );
  });

  it('quoting long integers keeps all other JSON as it was', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const short = !/\d{16}/.test(text);
        const quoted = quoteLongIntegers(text);
        if (short) expect(quoted).toBe(text);
        expect(() => JSON.parse(quoted) as unknown).not.toThrow();
      }),
    );
  });
});
