import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeInferRequest } from '#shared/scoring/codec/infer-request.js';
import { readInferResponse } from '#shared/scoring/codec/infer-response.js';
import { jsonLengthOf } from '#shared/scoring/codec/json-length.js';
import { datatypes, type Datatype, type Tensor } from '#shared/scoring/codec/tensor.js';
import { echoModules } from '#test/support/every-datatype.js';
import {
  digits,
  digitsFolder,
  fixtures,
  hostedModule,
  post,
  Scoring,
  type Answered,
} from '#test/support/scoring-harness.js';

interface Expected {
  readonly loads: boolean;
  readonly served?: boolean;
  readonly inputs?: readonly { name: string; datatype: string; shape: (number | string)[] }[];
  readonly sample?: { request: { inputs: WireTensor[] }; response: { outputs: WireTensor[] } };
}
interface WireTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: number[];
  readonly data: (number | string | boolean)[];
}

const scoring = new Scoring();
afterAll(() => scoring.end());

const expected = JSON.parse(await readFile(join(fixtures, 'expected.json'), 'utf8')) as Record<string, Expected>;
const loadable = Object.keys(expected).filter((file) => expected[file]?.loads && expected[file].served !== false);
const sampled = loadable.filter((file) => expected[file]?.sample);
const nameOf = (file: string): string => file.replace(/\.onnx$/, '').replaceAll(/[^a-z0-9-]/g, '-');

function binary(answer: Answered): Tensor[] {
  return readInferResponse(answer.bytes, jsonLengthOf(Object.fromEntries(answer.headers)));
}

function expectClose(got: readonly Tensor[], wanted: readonly WireTensor[]): void {
  expect(got.map(({ name, datatype, shape }) => ({ name, datatype, shape }))).toEqual(
    wanted.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
  );
  wanted.forEach(({ data, datatype }, index) => {
    const values: readonly unknown[] = [...(got[index]?.data ?? [])];
    data.forEach((want, at) => {
      if (datatype.startsWith('FP')) expect(values[at]).toBeCloseTo(want as number, 4);
      else if (datatype === 'BOOL') expect(values[at]).toBe(want ? 1 : 0);
      else expect(String(values[at])).toBe(String(want));
    });
  });
}

describe('every fixture model', () => {
  let url = '';
  beforeAll(async () => {
    const modules = loadable.map((file) => hostedModule(fixtures, file, { name: nameOf(file) }));
    ({ url } = await scoring.serve(modules));
  });

  it.each(loadable)('%s says its tensors, free dimensions as -1', async (file) => {
    const response = await fetch(`${url}/v2/models/${nameOf(file)}/versions/1`);
    expect(await response.json()).toMatchObject({
      name: nameOf(file),
      versions: ['1'],
      platform: 'onnx_onnxv1',
      inputs: expected[file]?.inputs?.map(({ name, datatype, shape }) => ({
        name,
        datatype,
        shape: shape.map((size) => (typeof size === 'string' ? -1 : size)),
      })),
    });
  });

  it('a classifier with a map beside its labels: the labels alone are served, and asking for the map says the remedy', async () => {
    const model = `${url}/v2/models/forest-zipmap`;
    const metadata = (await (await fetch(model)).json()) as { outputs: { name: string }[] };
    expect(metadata.outputs.map(({ name }) => name)).toEqual(['output_label']);
    const asked = { ...expected['forest-zipmap.onnx']?.sample?.request, outputs: [{ name: 'output_probability' }] };
    expect((await post(`${model}/infer`, asked)).json).toEqual({
      error: expect.stringMatching(/"output_probability" .* sequence or a map, .*'zipmap': False/) as string,
    });
  });

  it.each(sampled)('%s answers its sample from JSON, from binary, and on /score', async (file) => {
    const sample = expected[file]?.sample;
    if (!sample) throw new Error(`no sample of ${file}`);
    const infer = `${url}/v2/models/${nameOf(file)}/infer`;
    const fromJson = await post(infer, { id: 'one', ...sample.request });
    expect(fromJson.status).toBe(200);
    expect(fromJson.json).toMatchObject({ id: 'one', model_name: nameOf(file), model_version: '1' });
    expectClose(binary(fromJson), sample.response.outputs);

    const tensors = binary(await post(infer, { ...sample.request, parameters: { binary_data_output: true } }));
    expectClose(tensors, sample.response.outputs);

    const inputs = readInferResponse(
      new TextEncoder().encode(JSON.stringify({ outputs: sample.request.inputs })),
      undefined,
    );
    const { body, jsonLength } = encodeInferRequest(inputs);
    const fromBinary = await post(infer, body, { 'inference-header-content-length': String(jsonLength) });
    expect(fromBinary.headers.get('content-type')).toBe('application/octet-stream');
    expectClose(binary(fromBinary), sample.response.outputs);

    expectClose(binary(await post(`${url}/score/${nameOf(file)}`, sample.request)), sample.response.outputs);
  });

  it('answers only the outputs that were asked for, each in the form asked for', async () => {
    const sample = expected['two-inputs.onnx']?.sample;
    const answer = await post(`${url}/v2/models/two-inputs/infer`, {
      ...sample?.request,
      outputs: [{ name: 'positive' }, { name: 'sum', parameters: { binary_data: true } }],
    });
    const length = Number(answer.headers.get('inference-header-content-length'));
    const head = JSON.parse(new TextDecoder().decode(answer.bytes.subarray(0, length))) as { outputs: unknown[] };
    expect(head.outputs).toEqual([
      { name: 'positive', datatype: 'BOOL', shape: [2], data: [true, false] },
      { name: 'sum', datatype: 'FP32', shape: [2, 3], parameters: { binary_data_size: 24 } },
    ]);
    expect(answer.bytes.length).toBe(length + 24);
  });

  it('says which modules there are when /score does not say which', async () => {
    const answer = await post(`${url}/score`, {});
    expect(answer.status).toBe(404);
    expect(JSON.stringify(answer.json)).toContain('/score/add-one, ');
  });
});

describe('what cannot be served is refused at load, with the remedy', () => {
  it.each([
    ['bf16.onnx', /has type BF16, .*export the model with FP32 inputs/],
    ['sequence-input.onnx', /input "xs" of the model is a sequence, .*export the model with a tensor/],
    ['sequence-output.onnx', /no output of the model can be served: output "ys" .*ends in tensors/],
  ])('%s', async (file, message) => {
    const modules = [hostedModule(fixtures, file, { name: 'refused' })];
    expect(await scoring.spawn().load({ modules, labels: {}, maxBodyBytes: 1024 })).toMatchObject({
      ok: false,
      error: { problem: { code: 'model.unloadable', message: expect.stringMatching(message) as string } },
    });
  });
});

describe('every datatype', () => {
  const samples: Record<Datatype, Tensor['data']> = {
    BOOL: Uint8Array.of(1, 0),
    UINT8: Uint8Array.of(0, 255),
    UINT16: Uint16Array.of(1, 65_535),
    UINT32: Uint32Array.of(1, 4_294_967_295),
    UINT64: BigUint64Array.of(1n, 18446744073709551615n),
    INT8: Int8Array.of(-128, 127),
    INT16: Int16Array.of(-32_768, 1),
    INT32: Int32Array.of(-2_147_483_648, 1),
    INT64: BigInt64Array.of(-9223372036854775808n, 9007199254740993n),
    FP16: Uint16Array.of(0x3c00, 0x7e00),
    FP32: Float32Array.of(Number.NaN, Number.NEGATIVE_INFINITY),
    FP64: Float64Array.of(0.1, Number.NaN),
    BYTES: ['a', 'Zürich 東京'],
  };
  let url = '';
  beforeAll(async () => {
    const modules = await echoModules(await scoring.folder(), ['n', '']);
    ({ url } = await scoring.serve(modules));
  });

  it.each(datatypes)('%s goes through onnxruntime unchanged in binary, zero-size too', async (datatype) => {
    for (const shape of [
      [1, 2],
      [2, 0],
    ]) {
      const data = shape[1] === 0 ? samples[datatype].slice(0, 0) : samples[datatype];
      const { body, jsonLength } = encodeInferRequest([{ name: 'x', datatype, shape, data }]);
      const answer = await post(`${url}/v2/models/${datatype.toLowerCase()}/infer`, body, {
        'inference-header-content-length': String(jsonLength),
      });
      expect(binary(answer)).toEqual([{ name: 'y', datatype, shape, data }]);
    }
  });

  it('a string that onnxruntime would cut is refused by element', async () => {
    const answer = await post(`${url}/score/bytes`, { x: [['a', 'b\u0000c']] });
    expect(answer.status).toBe(400);
    expect(answer.json).toEqual({ message: expect.stringContaining('element 1 has a null character') as string });
  });

  it('NaN in an output is an error in JSON that names the remedy, and is counted', async () => {
    const { body, jsonLength } = encodeInferRequest([
      { name: 'x', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(Number.NaN, 1) },
    ]);
    const text = new TextDecoder()
      .decode(body.subarray(0, jsonLength))
      .replace('"binary_data_output":true', '"binary_data_output":false');
    const head = new TextEncoder().encode(text);
    const answer = await post(`${url}/v2/models/fp32/infer`, new Uint8Array([...head, ...body.subarray(jsonLength)]), {
      'inference-header-content-length': String(head.length),
    });
    expect(answer.status).toBe(500);
    expect(answer.json).toEqual({ error: expect.stringMatching(/output "y": element 0 is NaN.*binary/) as string });
  });
});

describe('digits', () => {
  it('classifies every held-out digit as labelled, on two workers, in JSON and binary', async () => {
    const { url } = await scoring.serve([{ ...digits, instances: 2 }]);
    const heldout = JSON.parse(await readFile(join(digitsFolder, 'fixtures/heldout.json'), 'utf8')) as {
      label: number;
      image: number[];
    }[];
    expect(heldout.length).toBeGreaterThanOrEqual(100);
    const answers = await Promise.all(
      heldout.map(({ image }, index) => {
        const plain = { image: [[Array.from({ length: 8 }, (_, row) => image.slice(row * 8, row * 8 + 8))]] };
        if (index % 3 === 0)
          return post(`${url}/score`, plain).then(({ json }) => (json as { label: number[] }).label[0]);
        const tensor: Tensor = { name: 'image', datatype: 'FP32', shape: [1, 1, 8, 8], data: Float32Array.from(image) };
        const { body, jsonLength } = encodeInferRequest([tensor]);
        return post(`${url}/v2/models/digits/infer`, body, {
          'inference-header-content-length': String(jsonLength),
        }).then((answer) => Number(binary(answer).find(({ name }) => name === 'label')?.data[0]));
      }),
    );
    expect(answers).toEqual(heldout.map(({ label }) => label));
  });

  it('proves its golden vectors, and refuses those of another version by output and element', async () => {
    const { host } = await scoring.serve([
      digits,
      { ...digits, name: 'wrong', models: [{ name: 'd', file: 'model-v2.onnx' }] },
    ]);
    expect(await host.prove('digits')).toMatchObject({ ok: true, value: { vectors: 4 } });
    expect(await host.prove('wrong')).toMatchObject({
      ok: false,
      error: {
        code: 'golden.mismatch',
        message: expect.stringMatching(/golden vector "three".*cpu.*probabilities/) as string,
      },
    });
    expect((await host.stats()).modules.find(({ name }) => name === 'digits')?.requests).toBe(0);
  });
});

describe('a module that cannot be served', () => {
  const failing = async (module: Parameters<typeof hostedModule>): Promise<unknown> =>
    scoring.spawn().load({ modules: [digits, hostedModule(...module)], labels: {}, maxBodyBytes: 1024 });

  it.each([
    ['unloadable.onnx', {}, 'model.unloadable', /Frobnicate/],
    ['not-onnx.bin', {}, 'model.unloadable', /cpu: /],
    ['missing.onnx', {}, 'model.unloadable', /missing.onnx/],
    ['add-one.onnx', { accelerators: ['cuda'] }, 'model.unloadable', /cuda: /],
    [
      'add-one.onnx',
      {
        models: [
          { name: 'a', file: 'add-one.onnx' },
          { name: 'b', file: 'add-one.onnx' },
        ],
      },
      'module.not-yet',
      /2 models and no script/,
    ],
  ])('is named with the reason: %s %j', async (file, more, code, message) => {
    expect(await failing([fixtures, file, { name: 'bad', ...more }])).toMatchObject({
      ok: false,
      error: { module: 'bad', problem: { code, message: expect.stringMatching(message) as string } },
    });
  });

  it('falls back to the next accelerator, and says why', async () => {
    const host = scoring.spawn();
    const loaded = await host.load({
      modules: [{ ...digits, accelerators: ['coreml', 'cpu'] }],
      labels: {},
      maxBodyBytes: 1024,
    });
    expect(loaded).toMatchObject({
      ok: true,
      value: [
        { provider: 'cpu', fallbacks: [{ provider: 'coreml', reason: expect.stringContaining('coreml') as string }] },
      ],
    });
  });
});
