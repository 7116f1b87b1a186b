import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toProblem } from '#shared/kernel/errors.js';
import { readInferRequest, requestFromJson } from '#shared/scoring/codec/infer-request.js';
import { parseJsonText } from '#shared/scoring/codec/json-text.js';
import { isInferRequest, readPlainRequest, readScoreRequest } from '#shared/scoring/codec/plain-request.js';
import { ScannedNumbers } from '#shared/scoring/codec/scan/scan-numbers.js';
import { scanInferRequest, scanPlainRequest } from '#shared/scoring/codec/scan/scan-request.js';
import { datatypes, type ModelSignature } from '#shared/scoring/codec/tensor.js';

// The scanner must be unnoticeable: what the general parser gives or refuses is the specification.

const signature: ModelSignature = {
  inputs: [
    { name: 'x', datatype: 'FP32', shape: ['n', 3] },
    { name: 'ids', datatype: 'INT64', shape: ['n'] },
    { name: 'rate', datatype: 'INT32', shape: [] },
    { name: 'inputs', datatype: 'UINT8', shape: ['n'] },
  ],
  outputs: [],
};

function outcome(act: () => unknown): unknown {
  try {
    return { value: act() };
  } catch (error) {
    return { problem: toProblem(error) };
  }
}

const dataOf = (request: ReturnType<typeof requestFromJson>) => ({
  ...request,
  inputs: request.inputs.map((input) => ({ ...input, data: outcome(input.data) })),
});

function expectSameInfer(body: Uint8Array<ArrayBuffer>): void {
  const fast = outcome(() => dataOf(readInferRequest(body, undefined)));
  expect(fast).toStrictEqual(outcome(() => dataOf(requestFromJson(parseJsonText(body), undefined))));
}

function expectSameScore(body: Uint8Array<ArrayBuffer>, model = signature): void {
  const fast = outcome(() => {
    const read = readScoreRequest(body, model);
    return read.form === 'plain' ? read.inputs : dataOf(read.request);
  });
  const general = outcome(() => {
    const json = parseJsonText(body);
    return isInferRequest(json.value) ? dataOf(requestFromJson(json, undefined)) : readPlainRequest(json, model);
  });
  expect(fast).toStrictEqual(general);
}

const digits = fc.stringMatching(/^(0|[1-9][0-9]{0,24})$/);
/** Every form that JSON has for a number, and some that it has not. */
const numberText = fc.oneof(
  { weight: 4, arbitrary: fc.float({ noNaN: true, noDefaultInfinity: true }).map(String) },
  { weight: 3, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }).map(String) },
  { weight: 3, arbitrary: fc.integer({ min: -300, max: 300 }).map(String) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        fc.constantFrom('', '-'),
        digits,
        fc.option(fc.stringMatching(/^[0-9]{1,30}$/), { nil: undefined }),
        fc.option(fc.stringMatching(/^[eE][+-]?[0-9]{1,3}$/), { nil: '' }),
      )
      .map(([sign, whole, part, exponent]) => `${sign}${whole}${part === undefined ? '' : `.${part}`}${exponent}`),
  },
  { weight: 1, arbitrary: fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }).map(String) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '-0',
      '1e400',
      '3.4028235677973366e38',
      '340282356779733661637539395458142568448',
      '01',
      '1.',
      '.5',
      '-',
      '1e',
      '+1',
      'NaN',
      'null',
      'true',
      '"1"',
      '[]',
      '{}',
      '2147483648',
      '18446744073709551615',
      '9007199254740993',
    ),
  },
);
const common = fc.oneof(
  { weight: 3, arbitrary: fc.float({ noNaN: true, noDefaultInfinity: true }).map(String) },
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 255 }).map(String) },
  { weight: 1, arbitrary: numberText },
);

const space = fc.constantFrom('', '', '', ' ', '\n\t', '\r');
const listOf = (items: readonly string[], gap: string): string => `[${items.join(`,${gap}`)}${gap}]`;
const nested = fc
  .tuple(fc.array(fc.array(common, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 }), space)
  .map(([rows, gap]) =>
    listOf(
      rows.map((row) => listOf(row, gap)),
      gap,
    ),
  );
const even = fc
  .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 }), fc.infiniteStream(common), space)
  .map(([rows, columns, numbers, gap]) => {
    const row = () =>
      listOf(
        Array.from({ length: columns }, (): string => String(numbers.next().value)),
        gap,
      );
    return listOf(Array.from({ length: rows }, row), gap);
  });
const flat = fc.tuple(fc.array(common, { maxLength: 8 }), space).map(([items, gap]) => listOf(items, gap));
const dataText = fc.oneof(flat, even, even, nested, numberText);
const shapeText = fc.oneof(
  fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }).map((dims) => JSON.stringify(dims)),
  fc.constantFrom('[3]', '[1,3]', '[2,3]', '[01]', '[1.0]', '[-1]', '[1000000000000000]', '"x"', '[1e0]'),
);
const inputText = fc
  .tuple(
    fc.shuffledSubarray(['name', 'shape', 'datatype', 'data', 'parameters', 'extra'], { minLength: 4 }),
    fc.constantFrom('"x"', '"ids"', '"a\\u0062"', '"é"', '1'),
    shapeText,
    fc.constantFrom(...datatypes.map((datatype) => `"${datatype}"`), '"FP32"', '"FP32"', '"FP8"'),
    dataText,
    fc.constantFrom('{}', '{"a":"]}\\""}', '{"binary_data_size":3}', '[}'),
    space,
  )
  .map(([keys, name, shape, datatype, data, parameters, gap]) => {
    const values: Record<string, string> = { name, shape, datatype, data, parameters, extra: '1' };
    return `{${gap}${keys.map((key) => `"${key}"${gap}:${gap}${values[key] ?? ''}`).join(`${gap},`)}}`;
  });
const usualInput = fc
  .tuple(fc.boolean(), shapeText, fc.constantFrom(...datatypes, 'FP32', 'FP32'), dataText)
  .map(([dataFirst, shape, datatype, data]) => {
    const rest = `"name":"x","shape":${shape},"datatype":"${datatype}"`;
    return dataFirst ? `{"data":${data},${rest}}` : `{${rest},"data":${data}}`;
  });
/** Data that fits its shape and mostly its datatype. */
const fitting = fc
  .tuple(
    fc.constantFrom(...datatypes),
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 3 }),
    fc.boolean(),
    fc.infiniteStream(fc.oneof(common, fc.integer({ min: 0, max: 99 }).map(String))),
  )
  .map(([datatype, rows, columns, isNested, numbers]) => {
    const row = Array.from({ length: columns }, (): string => String(numbers.next().value));
    const lines = Array.from({ length: rows }, () => (isNested ? listOf(row, '') : row.join(',')));
    return `{"name":"x","shape":[${String(rows)},${String(columns)}],"datatype":"${datatype}","data":${listOf(lines, '')}}`;
  });
const inferText = fc
  .tuple(
    fc.array(fc.oneof(fitting, fitting, usualInput, inputText), { minLength: 1, maxLength: 2 }),
    fc.constantFrom(
      '',
      ',"id":"7"',
      ',"outputs":[{"name":"y"}]',
      ',"outputs":[1]',
      ',"inputs":[]',
      ',"id":5',
      ',"q":1',
    ),
    fc.constantFrom('', '', '', ' ', '\n', 'x', '\ufeff'),
  )
  .map(([inputs, more, end]) => `{"inputs":[${inputs.join(',')}]${more}}${end}`);
const plainText = fc
  .tuple(
    fc.shuffledSubarray(['x', 'ids', 'rate', 'inputs', 'x', 'other', 'r\\u0061te'], { minLength: 1 }),
    fc.infiniteStream(fc.oneof(dataText, numberText)),
  )
  .map(([keys, data]) => `{${keys.map((key) => `"${key}":${String(data.next().value)}`).join(',')}}`);

/** One byte changed, dropped or doubled. */
const mutated = (texts: fc.Arbitrary<string>) =>
  fc.tuple(texts, fc.nat(), fc.integer({ min: 0, max: 258 })).map(([text, position, change]) => {
    const body = new TextEncoder().encode(text);
    const at = body.length === 0 ? 0 : position % body.length;
    if (change < 256) body[at] = change;
    if (change === 256) return body.slice(0, at);
    if (change === 257) return Uint8Array.from([...body.subarray(0, at), ...body.subarray(at + 1)]);
    return change === 258 ? Uint8Array.from([...body.subarray(0, at), ...body.subarray(at - 1)]) : body;
  });
const punctuated = (texts: fc.Arbitrary<string>) =>
  fc.tuple(texts, fc.nat(), fc.constantFrom(...'[]{},:".-+e09 \\')).map(([text, position, character]) => {
    const at = position % (text.length + 1);
    return new TextEncoder().encode(text.slice(0, at) + character + text.slice(at + 1));
  });
const bodies = (texts: fc.Arbitrary<string>) =>
  fc.oneof(
    texts.map((text) => new TextEncoder().encode(text)),
    mutated(texts),
    punctuated(texts),
  );

const numRuns = Number(process.env['FLOTILLA_SCAN_RUNS'] ?? 3000);

describe('numbers scanned from bytes are unnoticeable', () => {
  test('V2: whatever the body, the same tensors or the same refusal as by the general parser', () => {
    fc.assert(fc.property(bodies(inferText), expectSameInfer), { numRuns });
  });

  test('/score: whatever the body, the same tensors or the same refusal as by the general parser', () => {
    fc.assert(
      fc.property(fc.oneof(bodies(plainText), bodies(plainText), bodies(inferText)), (body) => expectSameScore(body)),
      {
        numRuns,
      },
    );
  });

  test('a float is rounded from the double that JSON reads, also next to the middle of two floats', () => {
    const middle = fc.tuple(fc.float({ noNaN: true, noDefaultInfinity: true }), fc.integer({ min: -3, max: 3 }));
    const near = middle.map(([float, steps]) => {
      const bits = new DataView(new ArrayBuffer(8));
      bits.setFloat64(0, float);
      bits.setBigInt64(0, bits.getBigInt64(0) + 0x1000_0000n + BigInt(steps));
      return bits.getFloat64(0);
    });
    const texts = near.map((double) => [String(double), double.toPrecision(17), double.toPrecision(21)]);
    fc.assert(
      fc.property(fc.array(texts, { minLength: 1 }), (numbers) => {
        expectSameInfer(
          new TextEncoder().encode(
            `{"inputs":[{"name":"x","shape":[${String(3 * numbers.length)}],"datatype":"FP32","data":[${numbers.flat().join(',')}]}]}`,
          ),
        );
      }),
      { numRuns },
    );
  });
});

describe('what a careless scanner would read otherwise', () => {
  const input = (datatype: string, data: string, more = '') =>
    new TextEncoder().encode(`{"inputs":[{"name":"x","shape":[2],"datatype":"${datatype}","data":${data}${more}}]}`);

  test.each([
    ['FP32', '[1.,2]'],
    ['FP32', '[1.e5,2]'],
    ['FP32', '[01,2]'],
    ['FP32', '[-,2]'],
    ['FP32', '[1e,2]'],
    ['FP32', '[1e39,2]'],
    ['FP32', '[3.40282356779733661637e38,-1e-50]'],
    ['FP32', '[1 2]'],
    ['FP32', '[1,2,]'],
    ['FP32', '[[1],[2]]'],
    ['FP32', '[1,[2]]'],
    ['FP32', '[[1,2],[3]]'],
    ['FP32', '[1,2]]'],
    ['FP64', '[0.1234567890123456789,123456789012345678e-5]'],
    ['FP64', '[1e-400,2.2250738585072014e-308]'],
    ['INT32', '[1.5,2]'],
    ['INT32', '[-1.0,2e0]'],
    ['INT32', '[2147483648,1]'],
    ['UINT8', '[-1,1]'],
    ['INT64', '[-1,-4294967297]'],
    ['INT64', '[-9007199254740993,9007199254740991]'],
    ['UINT64', '[18446744073709551615,4294967296]'],
    ['BOOL', '[1,0]'],
    ['FP16', '[1,0]'],
    ['BYTES', '["a","b"]'],
  ])('%s %s', (datatype, data) => expectSameInfer(input(datatype, data)));

  test.each([
    ['a key twice', ',"data":[3,4]'],
    ['a datatype twice', ',"datatype":"INT32"'],
    ['an input twice', ',"name":"y"},{"name":"x","shape":[1],"datatype":"FP32","data":[1]'],
    ['a name with an escape', ',"n\\u0061me":"z"'],
    ['a value with an escape', '},{"name":"\\u0061","shape":[1],"datatype":"FP32","data":[1]'],
    ['data and binary data', ',"parameters":{"binary_data_size":8}'],
  ])('%s', (_, more) => expectSameInfer(input('FP32', '[1,2]', more)));

  test.each([
    '{"inputs":[{"shape":[1],"datatype":"FP32","data":[1]}]}',
    '{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}],"x":[1]}',
    '{"x":[[1,2,3],[4,5]]}',
    '{"x":[[1,2,3]],"ids":[1],"rate":1,"inputs":[1],"x":[[4,5,6]]}',
    '{"x":[[[1,2,3]]],"ids":[1],"rate":[1],"inputs":[1]}',
    '{"x":[[1,2,3]],"ids":[1],"rate":1.5,"inputs":[1]}',
    '{"x":[[1,2,3]],"ids":[1],"rate":1,"inputs":[256]}',
  ])('/score %s', (body) => expectSameScore(new TextEncoder().encode(body)));
});

test('/score: an input called "inputs" is given objects: what is wrong is said of them as they were sent', () => {
  const model: ModelSignature = { inputs: [{ name: 'inputs', datatype: 'FP32', shape: ['n'] }], outputs: [] };
  const body = new TextEncoder().encode('{"inputs":[{"shape":[1],"datatype":"FP32","data":[1]}]}');
  expectSameScore(body, model);
});

describe('what clients send is scanned, not parsed', () => {
  const encode = (text: string) => new TextEncoder().encode(text);
  test.each([
    ['the usual order', '{"id":"a","inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2.5,-3e-2]}]}'],
    ['sorted keys, spaces', '{"inputs": [{"data": [[1, 2, 3]], "datatype": "INT64", "name": "x", "shape": [1, 3]}]}'],
    [
      'parameters, outputs',
      '{"parameters":{"a":"}"},"inputs":[{"name":"x","shape":[1],"datatype":"UINT8","parameters":{"b":[1]},"data":[255]}],"outputs":[{"name":"y"}]}',
    ],
  ])('V2, %s', (_, text) => {
    const inputs = scanInferRequest(encode(text))?.['inputs'] as { data: unknown }[];
    expect(inputs[0]?.data).toBeInstanceOf(ScannedNumbers);
  });

  test('the plain form, with a scalar', () => {
    const body = encode('{"x": [[1, 2, 3], [4, 5, 6]], "ids": [7, 8], "rate": 16000, "inputs": [0]}');
    expect(scanPlainRequest(body, signature)?.['rate']).toBeInstanceOf(ScannedNumbers);
    const read = readScoreRequest(body, signature);
    expect(read.form === 'plain' && read.inputs.map(({ shape }) => shape)).toEqual([[2, 3], [2], [], [1]]);
  });

  test('a shape that promises more than the body holds reserves no memory for it', () => {
    const body = encode('{"inputs":[{"name":"x","shape":[1000000000000],"datatype":"FP32","data":[1]}]}');
    expect(() => readInferRequest(body, undefined).inputs[0]?.data()).toThrow(/1000000000000 elements, data has 1/);
  });
});
