import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as ort from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { readInferRequest, resolveInputs } from '#shared/scoring/codec/infer-request.js';
import { modelSignature, toOnnx } from '#shared/scoring/worker/onnx-tensors.js';
import { openSync } from '#shared/scoring/worker/sync-run.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const inFolder = temporaryFolder();
const fixtureFolder = resolve('test/fixtures/models');
interface Fixture {
  readonly loads: boolean;
  readonly sample?: { readonly request: unknown };
}
const fixtures = Object.entries(
  JSON.parse(readFileSync(resolve(fixtureFolder, 'expected.json'), 'utf8')) as Record<string, Fixture>,
).flatMap(([file, { sample }]) => (sample ? [{ file, request: sample.request }] : []));

async function open(file: string) {
  const session = await ort.InferenceSession.create(resolve(fixtureFolder, file), { logSeverityLevel: 4 });
  const run = openSync(session);
  if (!run) throw new Error('this version of onnxruntime-node has no synchronous run: see sync-run.ts');
  return { session, run };
}

function feedsOf(session: ort.InferenceSession, request: unknown): Record<string, ort.Tensor> {
  const body = new TextEncoder().encode(JSON.stringify(request));
  const inputs = resolveInputs(readInferRequest(body, undefined).inputs, modelSignature(session));
  return Object.fromEntries(inputs.map((input) => [input.name, toOnnx(input)]));
}

const plain = (outputs: Readonly<Record<string, ort.OnnxValue>>) =>
  Object.entries(outputs).map(([name, { type, dims, data }]) => ({ name, type, dims, data }));

const row = (rows: number) => ({ x: new ort.Tensor('float32', new Float32Array(rows * 4).fill(0.5), [rows, 4]) });

describe('a run without a promise', () => {
  test.each(fixtures)('$file: answers what the public run answers', async ({ file, request }) => {
    const { session, run } = await open(file);
    const feeds = feedsOf(session, request);
    const names = modelSignature(session).outputs.map(({ name }) => name);
    const outputs = run(feeds, names);
    expect(plain(outputs)).toEqual(plain(await session.run(feeds, names)));
    expect(Object.keys(outputs)).toEqual(names);
    expect(Object.values(outputs).every((value) => value instanceof ort.Tensor)).toBe(true);
    await session.release();
  });

  test('one of two outputs: that one alone, under its own name', async () => {
    const { session, run } = await open('two-inputs.onnx');
    const feeds = {
      a: new ort.Tensor('float32', new Float32Array([1, 2, 3]), [1, 3]),
      b: new ort.Tensor('int64', new BigInt64Array([4n]), [1]),
    };
    expect(plain(run(feeds, ['positive']))).toEqual([
      { name: 'positive', type: 'bool', dims: [1], data: Uint8Array.of(1) },
    ]);
    await session.release();
  });

  test('each session has its own: two of them open at once do not mix', async () => {
    const one = await open('add-one.onnx');
    const other = await open('initializer-inputs.onnx');
    expect(one.run(row(1), ['y'])['y']?.dims).toEqual([1, 4]);
    expect(other.run(row(1), ['y'])['y']?.dims).toEqual([1, 2]);
    await one.session.release();
    await other.session.release();
  });

  test('an input of the wrong shape or type, a missing input, an unknown output: thrown with the reason', async () => {
    const { session, run } = await open('add-one.onnx');
    const shaped = { x: new ort.Tensor('float32', new Float32Array(3), [1, 3]) };
    const typed = { x: new ort.Tensor('float64', new Float64Array(4), [1, 4]) };
    expect(() => run(shaped, ['y'])).toThrow(/invalid dimensions for input: x/);
    expect(() => run(typed, ['y'])).toThrow(/Unexpected input data type/);
    expect(() => run({}, ['y'])).toThrow(/input 'x' is missing/);
    expect(() => run(row(1), ['z'])).toThrow('the model has no output "z"');
    expect(run(row(1), ['y'])['y']?.data).toEqual(new Float32Array(4).fill(1.5));
    await session.release();
  });

  test('after release: refused, not a crash', async () => {
    const { session, run } = await open('add-one.onnx');
    await session.release();
    expect(() => run(row(1), ['y'])).toThrow(/disposed/);
  });

  test('a profile that is being written goes on: it has the run after the opening', async () => {
    const session = await ort.InferenceSession.create(resolve(fixtureFolder, 'add-one.onnx'), {
      enableProfiling: true,
      profileFilePrefix: inFolder('profile'),
    });
    openSync(session)?.(row(1), ['y']);
    session.endProfiling();
    const [profile = 'none'] = await readdir(inFolder());
    expect(await readFile(inFolder(profile), 'utf8')).toContain('model_run');
    await session.release();
  });

  test('opening leaves nothing behind in the runtime, also where it fails', async () => {
    const get = Object.getOwnPropertyDescriptor(WeakMap.prototype, 'get');
    const { session } = await open('add-one.onnx');
    await session.release();
    expect(openSync({} as ort.InferenceSession)).toBeUndefined();
    expect(Object.getOwnPropertyDescriptor(WeakMap.prototype, 'get')).toEqual(get);
  });

  test('a session of another make: no synchronous run, and nothing thrown', () => {
    const foreign = { handler: {}, inputNames: ['x'], outputNames: ['y'], endProfiling: () => undefined };
    const throwing = {
      ...foreign,
      endProfiling: () => {
        throw new Error('no');
      },
    };
    expect(openSync(foreign as unknown as ort.InferenceSession)).toBeUndefined();
    expect(openSync(throwing as unknown as ort.InferenceSession)).toBeUndefined();
  });

  test('10,000 runs of 64 kB: memory does not grow with them', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const { session, run } = await open('add-one.onnx');
    const feeds = row(4096);
    const rssAfter = (runs: number): number => {
      for (let index = 0; index < runs; index++) run(feeds, ['y']);
      collect();
      return process.memoryUsage().rss;
    };
    const before = rssAfter(500);
    // All of them kept would be 655 MB; some is still to be swept.
    expect(rssAfter(10_000) - before).toBeLessThan(300_000_000);
    await session.release();
  });
});
