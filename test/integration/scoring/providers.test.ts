import { readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { chooseSession } from '#shared/scoring/worker/provider-choice.js';
import { createProfiled } from '#shared/scoring/worker/provider-profile.js';
import { checkModel } from '#shared/scoring/provider-check/check-model.js';
import { checkProvider, relativeDifference } from '#shared/scoring/provider-check/check-provider.js';
import { identityModel, weights, writeOnnx } from '../../support/onnx-writer.js';
import { digits, digitsFolder, Scoring } from '../../support/scoring-harness.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const options = { intraOpNumThreads: 1, interOpNumThreads: 1 };
const profiles = async (): Promise<string[]> =>
  (await readdir(tmpdir())).filter((name) => name.startsWith('flotilla-profile-'));

describe('what a session really ran on', () => {
  const folder = temporaryFolder();

  it('is read from a first run, which leaves no file and a session that goes on', async () => {
    const before = await profiles();
    const { session, nodes } = await createProfiled(checkModel(), { ...options, executionProviders: ['cpu'] });
    expect(Object.keys(nodes ?? {})).toEqual(['cpu']);
    expect(nodes?.['cpu']).toBeGreaterThan(2);
    expect((await profiles()).filter((name) => !before.includes(name))).toEqual([]);
    expect(session.inputNames).toEqual(['x']);
    await session.release();
  });

  it('is found with free dimensions that must be more than one', async () => {
    const path = folder('free.onnx');
    await writeFile(
      path,
      writeOnnx({
        name: 'free',
        inputs: [{ name: 'x', type: 1, shape: ['batch', 1, 'height', 'width'] }],
        outputs: [{ name: 'y', type: 1, shape: ['batch', 1, 'h', 'w'] }],
        nodes: [{ op: 'Conv', inputs: ['x', 'k'], outputs: ['y'], ints: { kernel_shape: [3, 3] } }],
        initializers: [{ name: 'k', type: 1, shape: [1, 1, 3, 3], raw: weights(9, 1, 1) }],
      }),
    );
    const { session, nodes } = await createProfiled(path, { ...options, executionProviders: ['cpu'] });
    expect(Object.keys(nodes ?? {})).toEqual(['cpu']);
    await session.release();
  });

  it('is unknown, and nothing worse, where no input can be made up', async () => {
    const path = folder('large.onnx');
    await writeFile(path, identityModel(1, [100_000, 100_000]));
    const { session, nodes } = await createProfiled(path, { ...options, executionProviders: ['cpu'] });
    expect(nodes).toBeUndefined();
    await session.release();
  });

  it('leaves no file when the model does not load', async () => {
    const before = await profiles();
    await writeFile(folder('bad.onnx'), 'no model');
    await expect(createProfiled(folder('bad.onnx'), { executionProviders: ['cpu'] })).rejects.toThrow();
    expect((await profiles()).filter((name) => !before.includes(name))).toEqual([]);
  });
});

describe('the preference of a model', () => {
  const model = { name: 'digits', path: `${digitsFolder}/model.onnx` };

  it('that is the CPU alone is not profiled: there is nothing else', async () => {
    const { session, ...choice } = await chooseSession(model, ['cpu'], options);
    expect(choice).toEqual({ provider: 'cpu', fallbacks: [] });
    await session.release();
  });

  it('falls back with a reason of one line, without source files, for each provider that is not there', async () => {
    const { session, provider, fallbacks } = await chooseSession(model, ['dml', 'coreml', 'tensorrt', 'cpu'], options);
    await session.release();
    expect(fallbacks.length).toBeGreaterThan(0);
    expect([...fallbacks.map((one) => one.provider), provider]).toEqual(
      ['dml', 'coreml', 'tensorrt', 'cpu'].slice(0, fallbacks.length + 1),
    );
    for (const { reason } of fallbacks) expect(reason).not.toMatch(/\n|\.cc:\d|0x[0-9a-f]{4}/);
  });

  it('ends with every reason when none takes the model', async () => {
    const failure = await chooseSession({ ...model, path: '/nowhere.onnx' }, ['xnnpack', 'cpu'], options).catch(
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(AppError);
    expect(failure).toMatchObject({
      code: 'model.unloadable',
      message: expect.stringMatching(/xnnpack: this build of onnxruntime .* has no xnnpack; cpu: .*nowhere/) as string,
    });
  });
});

describe('the model that providers are tried with', () => {
  it('runs on the CPU and agrees with itself', async () => {
    expect(await checkProvider('cpu')).toMatchObject({
      type: 'ran',
      difference: 0,
      nodes: { cpu: expect.any(Number) as number },
    });
  });

  it('is refused with a reason on a provider that there is not', async () => {
    expect(await checkProvider('xnnpack')).toMatchObject({
      type: 'refused',
      reason: expect.stringContaining('has no xnnpack') as string,
    });
  });

  it.each([
    [[1, 2, 4], [1, 2, 4], 0],
    [[1, 2, 4], [1, 2, 5], 0.25],
    [[1, 2, 4], [1, 2], Number.POSITIVE_INFINITY],
    [[1, 2, 4], [1, Number.NaN, 4], Number.POSITIVE_INFINITY],
    [[0, 0], [0, 0.5], 0.5],
  ])('is compared by the largest distance over the largest value: %j and %j are %d apart', (expected, got, apart) => {
    expect(relativeDifference(Float32Array.from(expected), Float32Array.from(got))).toBe(apart);
  });
});

describe('a scoring host', () => {
  it('tells for each model what it ran on, and why not on what was preferred', async () => {
    const scoring = new Scoring();
    try {
      const loaded = await scoring.spawn().load({
        modules: [{ ...digits, accelerators: ['xnnpack', 'cpu'] }],
        labels: {},
        maxBodyBytes: 1024,
      });
      expect(loaded).toMatchObject({
        ok: true,
        value: [
          {
            models: [{ name: 'digits', provider: 'cpu' }],
            fallbacks: [{ provider: 'xnnpack', reason: expect.stringContaining('has no xnnpack') as string }],
          },
        ],
      });
    } finally {
      await scoring.end();
    }
  });
});
