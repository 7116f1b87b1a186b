import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bundleScript } from '#shared/package/bundle-script.js';
import { CliHarness, type CliRun } from '#test/support/cli/cli-harness.js';
import { pictureModel, textModel } from '#test/support/new-models.js';
import { fixtures, post } from '#test/support/scoring-harness.js';
import { type ServedFolder, serveFolder } from '#test/support/served-folder.js';
import { typeErrors } from '#test/support/type-check.js';

let cli: CliHarness;
let served: ServedFolder | undefined;
let models: string;
const target = (name: string): string => join(cli.home, 'modules', name);
const init = (name: string, ...flags: string[]): Promise<CliRun> =>
  cli.run(['module', 'init', name, '--folder', target(name), ...flags]);
const read = (name: string, file: string): Promise<string> => readFile(join(target(name), file), 'utf8');

beforeAll(async () => {
  cli = await CliHarness.make();
  models = join(cli.home, 'models');
  await mkdir(models);
  await writeFile(join(models, 'pictures.onnx'), pictureModel());
  await writeFile(join(models, 'texts.onnx'), textModel());
  await writeFile(join(models, 'README.onnx'), 'not a model');
});
afterEach(async () => {
  await served?.close();
  served = undefined;
});
afterAll(() => cli.remove());

describe('a module from a model of pictures', () => {
  beforeAll(async () => {
    expect(await init('gate', '--model', join(models, 'pictures.onnx'))).toMatchObject({ exit: 0 });
  });

  it('has a size found for what the graph leaves free, and a golden vector of it', async () => {
    const [vector] = JSON.parse(await read('gate', 'golden.json')) as {
      request: { inputs: { shape: number[] }[] };
      response: { outputs: { name: string; data: number[] }[] };
    }[];
    expect(vector?.request.inputs[0]?.shape).toEqual([1, 3, 8, 8]);
    expect(vector?.response.outputs[0]?.data.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
  });

  it('serves and proves itself as it is, and answers its example and plain arrays alike', async () => {
    served = await serveFolder(target('gate'));
    expect(served.served.proved).toBe(1);
    const example = JSON.parse(await read('gate', 'example.json')) as { inputs: { data: number[] }[] };
    const whole = await post(`${served.url}/v2/models/gate/infer`, example);
    expect(whole).toMatchObject({ status: 200, json: { outputs: [{ name: 'scores', shape: [1, 4] }] } });
    const flat = example.inputs[0]?.data ?? [];
    const plane = (channel: number): number[][] =>
      Array.from({ length: 8 }, (_, row) => flat.slice(channel * 64 + row * 8, channel * 64 + row * 8 + 8));
    const plain = await post(`${served.url}/score/gate`, { 'pixel.values': [[plane(0), plane(1), plane(2)]] });
    const [{ data } = { data: [] }] = (whole.json as { outputs: { data: number[] }[] }).outputs;
    const near = data.map((value) => expect.closeTo(value, 5) as number);
    expect(plain).toMatchObject({ status: 200, json: { scores: { shape: [1, 4], data: near } } });
    // And a caller is told what is missing.
    expect(await post(`${served.url}/score/gate`, { image: [] })).toMatchObject({
      status: 400,
      json: { message: 'send JSON with "pixel.values", FP32 [batch, 3, height, width]' },
    });
  });

  it('has a script whose types hold against the graph, and which asks for no other tensors', async () => {
    expect(typeErrors(target('gate'), await read('gate', 'score.ts'))).toEqual([]);
    const asked = (await read('gate', 'score.ts')).replace('readInputs(input)', "{ 'pixel.values': ['a'] }");
    expect(typeErrors(target('gate'), asked).join()).toMatch(/not assignable/);
  });
});

describe('a module from a model of texts, int64 ids in', () => {
  it('answers ids as they are, with 64-bit integers in the golden vector', async () => {
    expect(await init('reviews', '--model', join(models, 'texts.onnx'))).toMatchObject({ exit: 0 });
    served = await serveFolder(target('reviews'));
    expect(served.served.proved).toBe(1);
    const ask = (ids: number[]): Promise<unknown> =>
      post(`${served?.url ?? ''}/score/reviews`, { input_ids: [ids], attention_mask: [ids.map(() => 1)] });
    expect(await ask([4, 8, 15, 16, 23, 42])).toMatchObject({
      status: 200,
      json: { label: { shape: [1], data: [expect.any(Number) as number] }, logits: { shape: [1, 2] } },
    });
    expect(await ask([51])).toMatchObject({ status: 500 });
  });

  it('without a script is the model itself, proved with the request that was given', async () => {
    const example = join(models, 'request.json');
    const ids = { datatype: 'INT64', shape: [1, 3], data: [7, 8, 9] };
    const mask = { ...ids, data: [1, 1, 0] };
    const inputs = [
      { name: 'input_ids', ...ids },
      { name: 'attention_mask', ...mask },
    ];
    await writeFile(example, JSON.stringify({ inputs }));
    const flags = ['--model', join(models, 'texts.onnx'), '--flavor', 'onnx', '--example', example];
    const { stdout } = await init('plain', ...flags, '--output', 'json');
    expect(JSON.parse(stdout)).toMatchObject({
      flavor: 'onnx',
      golden: 1,
      files: ['README.md', 'example.json', 'golden.json', 'model.onnx', 'module.yaml'],
    });
    served = await serveFolder(target('plain'));
    expect(served.served.proved).toBe(1);
    expect(JSON.parse(await read('plain', 'example.json'))).toEqual({ inputs });
  });
});

describe('what a module cannot be made of', () => {
  it.each([
    ['sequence-input.onnx', /sequence/],
    ['bf16.onnx', /BF16/],
    ['not-onnx.bin', /not an ONNX model/],
    ['unloadable.onnx', /onnxruntime cannot load it/],
    ['absent.onnx', /there is no file/],
  ])('%s is refused with the reason, and no folder is left', async (file, reason) => {
    const { exit, stderr } = await init('refused', '--model', join(fixtures, file));
    expect({ exit, stderr }).toEqual({ exit: 2, stderr: expect.stringMatching(reason) as string });
    await expect(read('refused', 'module.yaml')).rejects.toThrow();
  });

  it('a folder with something in it is left as it is', async () => {
    await mkdir(target('mine'), { recursive: true });
    await writeFile(join(target('mine'), 'notes'), 'keep');
    const { exit, stderr } = await init('mine', '--model', join(models, 'pictures.onnx'));
    expect({ exit, stderr }).toEqual({ exit: 2, stderr: expect.stringContaining('not empty') as string });
    expect(await read('mine', 'notes')).toBe('keep');
  });

  it('an example that does not fit is refused with what the model expects', async () => {
    const example = join(models, 'wrong.json');
    await writeFile(example, JSON.stringify({ inputs: [{ name: 'ids', datatype: 'INT64', shape: [1], data: [1] }] }));
    const { exit, stderr } = await init('wrong', '--model', join(models, 'texts.onnx'), '--example', example);
    expect({ exit, stderr }).toEqual({ exit: 2, stderr: expect.stringContaining('input_ids') as string });
  });

  it('tensors that JSON cannot carry leave the module without a golden vector, and say so', async () => {
    const { exit, stdout } = await init('half', '--model', join(fixtures, 'fp16.onnx'));
    expect({ exit, stdout }).toEqual({ exit: 0, stdout: expect.stringMatching(/no vector: .*FP16/) as string });
    served = await serveFolder(target('half'));
    expect(served.served.proved).toBeUndefined();
    await expect(bundleScript(target('half'), 'score.ts')).resolves.toBeDefined();
  });
});
