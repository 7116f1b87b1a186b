import { describe, expect, it } from 'vitest';
import {
  encodeInferRequest,
  readInferRequest,
  resolveInputs,
  resolveOutputs,
} from '#shared/scoring/codec/infer-request.js';
import {
  viewElements,
  type Datatype,
  type ModelSignature,
  type Tensor,
  type TensorData,
} from '#shared/scoring/codec/tensor.js';

const encoder = new TextEncoder();
const bytes = (value: unknown): Uint8Array<ArrayBuffer> =>
  encoder.encode(typeof value === 'string' ? value : JSON.stringify(value));

function signature(datatype: Datatype, shape: (number | string)[]): ModelSignature {
  return { inputs: [{ name: 'x', datatype, shape }], outputs: [{ name: 'y', datatype, shape }] };
}

/** The data of one input, parsed for a model that wants just this. */
function parse(datatype: Datatype, shape: number[], data: unknown): TensorData {
  const text = typeof data === 'string' && data.startsWith('[') ? data : JSON.stringify(data);
  const body = `{"inputs":[{"name":"x","shape":${JSON.stringify(shape)},"datatype":"${datatype}","data":${text}}]}`;
  return (resolveInputs(readInferRequest(bytes(body), undefined).inputs, signature(datatype, shape))[0] as Tensor).data;
}

describe('JSON tensors', () => {
  it.each([
    ['BOOL', [true, false], Uint8Array.of(1, 0)],
    ['UINT8', [0, 255], Uint8Array.of(0, 255)],
    ['UINT16', [0, 65_535], Uint16Array.of(0, 65_535)],
    ['UINT32', [0, 4_294_967_295], Uint32Array.of(0, 4_294_967_295)],
    ['INT8', [-128, 127], Int8Array.of(-128, 127)],
    ['INT16', [-32_768, 32_767], Int16Array.of(-32_768, 32_767)],
    ['INT32', [-2_147_483_648, 2_147_483_647], Int32Array.of(-2_147_483_648, 2_147_483_647)],
    ['FP32', [0.1, -3e38], Float32Array.of(0.1, -3e38)],
    ['FP64', [0.1, 1e308], Float64Array.of(0.1, 1e308)],
    ['BYTES', ['a', 'ü"\\'], ['a', 'ü"\\']],
  ] as const)('carry the range of %s', (datatype, data, expected) => {
    expect(parse(datatype, [2], data)).toEqual(expected);
  });

  it('carry 64-bit integers exactly, beyond what a double holds', () => {
    expect(parse('INT64', [4], '[9223372036854775807,-9223372036854775808,1e3,9007199254740993]')).toEqual(
      BigInt64Array.of(9223372036854775807n, -9223372036854775808n, 1000n, 9007199254740993n),
    );
    expect(parse('UINT64', [1], '[18446744073709551615]')).toEqual(BigUint64Array.of(18446744073709551615n));
  });

  it('are the same nested and flat', () => {
    expect(
      parse(
        'FP32',
        [2, 2],
        [
          [1, 2],
          [3, 4],
        ],
      ),
    ).toEqual(parse('FP32', [2, 2], [1, 2, 3, 4]));
    expect(parse('INT64', [1, 2], '[[9007199254740993,2]]')).toEqual(BigInt64Array.of(9007199254740993n, 2n));
  });

  it('may be scalars and empty', () => {
    expect(parse('INT64', [], [7])).toEqual(BigInt64Array.of(7n));
    expect(parse('FP32', [0, 4], [])).toHaveLength(0);
    expect(parse('FP32', [2, 0], [[], []])).toHaveLength(0);
  });

  it.each([
    ['INT8', [128], /data\[0\] is 128; INT8 needs integers from -128 to 127/],
    ['UINT8', [-1], /UINT8 needs integers from 0/],
    ['INT32', [0.5], /data\[0\] is 0.5; INT32 needs integers/],
    ['INT64', [0.5], /INT64 needs integers/],
    ['INT64', '[9223372036854775808]', /9223372036854775808; INT64 cannot hold it/],
    ['UINT64', '[-1]', /UINT64 cannot hold it/],
    ['FP32', [1e39], /FP32 cannot hold it/],
    ['FP64', '[1e999]', /FP64 cannot hold it/],
    ['FP32', ['1'], /data\[0\] is "1"; FP32 needs numbers/],
    ['FP32', [null], /data\[0\] is null; FP32 needs numbers/],
    ['BOOL', [1], /BOOL needs true or false/],
    ['BYTES', [1], /BYTES needs strings/],
    ['FP16', [1], /FP16 has no JSON form/],
    ['FP32', [1, 2], /has 1 elements, data has 2/],
    ['FP32', 'text', /data must be an array/],
  ] as const)('of %s refuse %j by name of input and element', (datatype, data, message) => {
    expect(() => parse(datatype, [1], data)).toThrowError(message);
  });

  it('refuse nesting that is not the shape', () => {
    expect(() => parse('FP32', [2, 2], [[1, 2, 3, 4]])).toThrowError(/dimension 0 needs arrays of 2/);
    expect(() => parse('FP32', [2, 2], [[1, 2], [3]])).toThrowError(/dimension 1 needs arrays of 2, got an array of 1/);
    expect(() => parse('FP32', [2, 2], [[1, 2], 3])).toThrowError(/dimension 1/);
  });
});

describe('readInferRequest', () => {
  const x = { name: 'x', shape: [1], datatype: 'FP32', data: [1] };

  it.each([
    ['', /the body is empty/],
    ['{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[NaN]}]}', /JSON has no NaN or Infinity/],
    ['{"inputs":[-Infinity]}', /JSON has no NaN or Infinity/],
    ['not json', /the body is not JSON/],
    ['[]', /an inference request is a JSON object/],
    ['{}', /"inputs" must be an array/],
    [{ id: 3, inputs: [x] }, /"id" must be a string/],
    [{ inputs: [1] }, /inputs\[0\] must be an object/],
    [{ inputs: [{ ...x, name: 1 }] }, /inputs\[0\].name must be a string/],
    [{ inputs: [{ ...x, datatype: 'FLOAT' }] }, /datatype is "FLOAT", must be one of BOOL/],
    [{ inputs: [{ ...x, shape: [-1] }] }, /shape must be an array of integers from 0/],
    [{ inputs: [{ name: 'x', shape: [1], datatype: 'FP32' }] }, /neither data nor parameters.binary_data_size/],
    [{ inputs: [x, x] }, /input "x" is given twice/],
    [{ inputs: [x], outputs: [{ name: 'y' }, { name: 'y' }] }, /output "y" is given twice/],
    [
      { inputs: [x], outputs: [{ name: 'y', parameters: { classification: 0 } }] },
      /classification must be an integer from 1/,
    ],
    [{ inputs: [x], parameters: [] }, /the request: parameters must be an object, got \[\]/],
    [{ inputs: [{ ...x, parameters: 7 }] }, /input "x": parameters must be an object, got 7/],
    [{ inputs: [x], outputs: [{ name: 'y', parameters: 1 }] }, /output "y": parameters must be an object, got 1/],
    [{ inputs: [x], parameters: { binary_data_output: 1 } }, /binary_data_output must be true or false/],
    [{ inputs: [{ ...x, parameters: { binary_data_size: 4 } }] }, /has both data and binary_data_size/],
    [
      { inputs: [{ name: 'x', shape: [1], datatype: 'FP32', parameters: { binary_data_size: 4 } }] },
      /needs the header/,
    ],
  ])('refuses %j', (body, message) => {
    expect(() => readInferRequest(bytes(body), undefined)).toThrowError(message);
  });

  it('refuses bytes that are not UTF-8', () => {
    expect(() => readInferRequest(Uint8Array.of(0x7b, 0xff), undefined)).toThrowError(/not UTF-8/);
  });
});

describe('resolveInputs', () => {
  const image = signature('FP32', ['batch', 1, 8, 8]);
  const request = (input: object): Uint8Array<ArrayBuffer> => bytes({ inputs: [input] });
  const resolve = (input: object): Tensor[] => resolveInputs(readInferRequest(request(input), undefined).inputs, image);

  it.each([
    [
      { name: 'y', shape: [1], datatype: 'FP32', data: [1] },
      'the model has no input "y"; its inputs are "x" FP32 [batch,1,8,8]',
    ],
    [
      { name: 'x', shape: [1, 64], datatype: 'FP32', data: [] },
      'input "x": the model expects FP32 [batch,1,8,8], got FP32 [1,64]',
    ],
    [
      { name: 'x', shape: [1, 1, 8, 8], datatype: 'INT64', data: [] },
      'input "x": the model expects FP32 [batch,1,8,8], got INT64 [1,1,8,8]',
    ],
  ])('names what the model wants before what is wrong inside', (input, message) => {
    expect(() => resolve(input)).toThrowError(message);
  });

  it('names a missing input', () => {
    expect(() => resolveInputs([], image)).toThrowError('input "x" is missing');
  });

  it('names an output that the model does not have', () => {
    const read = readInferRequest(bytes({ inputs: [], outputs: [{ name: 'z' }] }), undefined);
    expect(() => resolveOutputs(read, image)).toThrowError('the model has no output "z"; its outputs are "y" FP32');
  });
});

describe('binary tensors', () => {
  const tensors: Tensor[] = [
    { name: 'a', datatype: 'INT8', shape: [3], data: Int8Array.of(1, -2, 3) },
    { name: 'b', datatype: 'FP64', shape: [2], data: Float64Array.of(Number.NaN, -0) },
    { name: 'c', datatype: 'BYTES', shape: [2], data: ['', 'Zürich'] },
    { name: 'd', datatype: 'BOOL', shape: [2], data: Uint8Array.of(1, 0) },
    { name: 'e', datatype: 'FP16', shape: [1], data: Uint16Array.of(0x3c00) },
    { name: 'f', datatype: 'UINT64', shape: [1], data: BigUint64Array.of(18446744073709551615n) },
  ];
  const { body, jsonLength } = encodeInferRequest(tensors, { id: 'r1' });

  it('come back as they were, wherever they lie in the body', () => {
    for (const shift of [0, 1, 2, 3, 4, 5, 6, 7]) {
      const moved = new Uint8Array(body.length + shift);
      moved.set(body, shift);
      const read = readInferRequest(moved.subarray(shift), jsonLength);
      expect(read.id).toBe('r1');
      expect(read.binaryOutputs).toBe(true);
      expect(read.inputs.map(({ data, ...rest }) => ({ ...rest, data: data() }))).toEqual(tensors);
    }
  });

  it('are refused where sizes do not add up', () => {
    expect(() => readInferRequest(body, body.length + 1)).toThrowError(/the whole body has/);
    expect(() => readInferRequest(body.subarray(0, -1), jsonLength)).toThrowError(/only 7 bytes are left/);
    const longer = new Uint8Array(body.length + 1);
    longer.set(body);
    expect(() => readInferRequest(longer, jsonLength)).toThrowError(/1 bytes follow the last tensor/);
    expect(() => readInferRequest(body, 0)).toThrowError(/needs a model that says what the bytes are/);
  });

  const one = (datatype: Datatype, shape: number[], data: Uint8Array): (() => unknown) => {
    const head = bytes({ inputs: [{ name: 'x', datatype, shape, parameters: { binary_data_size: data.length } }] });
    const whole = new Uint8Array([...head, ...data]);
    return () => readInferRequest(whole, head.length).inputs[0]?.data();
  };

  it.each([
    ['FP32', [2], Uint8Array.of(1, 2, 3, 4), /has 8 bytes, binary_data_size is 4/],
    ['BOOL', [1], Uint8Array.of(2), /BOOL needs 0 or 1/],
    ['BYTES', [1], Uint8Array.of(4, 0, 0, 0, 65), /ends inside element 0/],
    ['BYTES', [1], Uint8Array.of(4, 0), /ends inside element 0/],
    ['BYTES', [2], Uint8Array.of(1, 0, 0, 0, 65), /its shape has 2 elements, its binary data 1/],
    ['BYTES', [0], Uint8Array.of(1, 0, 0, 0, 65), /goes on after its 0 elements/],
    ['BYTES', [1], Uint8Array.of(1, 0, 0, 0, 0xff), /not UTF-8/],
  ] as const)('of %s refuse %j %j', (datatype, shape, data, message) => {
    expect(one(datatype, [...shape], data)).toThrowError(message);
  });
});

describe('bytes as elements', () => {
  it('are read where they are, aligned or not, in a buffer that shares its memory too', () => {
    const shared = Buffer.from(Uint8Array.of(9, 9, 9, 9, 9, 1, 0, 0, 0, 2, 0, 0, 0).buffer);
    expect(viewElements('INT32', shared.subarray(5), 2)).toEqual(Int32Array.of(1, 2));
    expect(viewElements('INT32', new Uint8Array(shared.buffer, 5), 2)).toEqual(Int32Array.of(1, 2));
    expect(viewElements('INT32', shared.subarray(4, 12), 2).buffer).toBe(shared.buffer);
  });
});
