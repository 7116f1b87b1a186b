import { describe, expect, it } from 'vitest';
import { defaultScoringOptions } from '#shared/package/scoring-options.js';
import type { ModelSignature, Tensor } from '#shared/scoring/codec/tensor.js';
import { tryModel } from '#shared/scoring/worker/model-trial.js';

const rowwise: ModelSignature = {
  inputs: [{ name: 'x', datatype: 'FP32', shape: ['n', 4] }],
  outputs: [{ name: 'y', datatype: 'FP32', shape: ['n', 4] }],
};

const clock = { atMs: 0 };
const nowMs = (): number => clock.atMs;

/** A model whose run costs the same however many rows it has. */
function costly(work: (data: Float32Array, rows: number) => Float32Array): (inputs: readonly Tensor[]) => Tensor[] {
  return ([x]) => {
    if (!x) throw new Error('no input');
    clock.atMs += 1;
    const data = work(x.data as Float32Array, x.shape[0] ?? 0) as Float32Array<ArrayBuffer>;
    return [{ name: 'y', datatype: 'FP32', shape: x.shape, data }];
  };
}

const double = costly((data) => data.map((value) => 2 * value));

describe('what a model is tried for', () => {
  it('is batched when rows run together give what they give alone, for less', async () => {
    expect(await tryModel(double, rowwise, defaultScoringOptions, nowMs)).toMatchObject({ maxBatchRows: 32 });
  });

  it('is not batched when a row depends on those before it, as in a recurrent model', async () => {
    const running = costly((data) => {
      let sum = 0;
      return data.map((value) => (sum += value));
    });
    const traits = await tryModel(running, rowwise, defaultScoringOptions, nowMs);
    expect(traits).toMatchObject({
      maxBatchRows: 0,
      batchingReason: 'rows run together give other answers than alone',
    });
  });

  it('is not batched when rows together cost what they cost alone', async () => {
    const each = ([x]: readonly Tensor[]): Tensor[] => {
      clock.atMs += x?.shape[0] ?? 0;
      return [
        { name: 'y', datatype: 'FP32', shape: x?.shape ?? [], data: (x?.data ?? []) as Float32Array<ArrayBuffer> },
      ];
    };
    const traits = await tryModel(each, rowwise, defaultScoringOptions, nowMs);
    expect(traits).toMatchObject({ maxBatchRows: 0, batchingReason: 'rows run together cost what they cost alone' });
  });

  it('is not batched when one run fills its core by itself', async () => {
    const slow = costly((data) => {
      clock.atMs += 30;
      return data;
    });
    expect(await tryModel(slow, rowwise, defaultScoringOptions, nowMs)).toMatchObject({
      maxBatchRows: 0,
      batchingReason: 'one run takes long enough by itself',
      runMs: 31,
    });
  });

  it('is not batched when its first dimension is fixed', async () => {
    const fixed = { ...rowwise, outputs: [{ name: 'y', datatype: 'FP32' as const, shape: [1, 4] }] };
    expect(await tryModel(double, fixed, defaultScoringOptions, nowMs)).toMatchObject({ maxBatchRows: 0 });
  });

  it('is batched unproven, or not at all, where the module says so', async () => {
    const running = costly((data) => {
      let sum = 0;
      return data.map((value) => (sum += value));
    });
    const with_ = (mode: 'on' | 'off'): typeof defaultScoringOptions => ({
      ...defaultScoringOptions,
      batching: { mode, maxRows: 5, maxWaitMs: 0 },
    });
    expect(await tryModel(running, rowwise, with_('on'), nowMs)).toMatchObject({ maxBatchRows: 5 });
    expect(await tryModel(double, rowwise, with_('off'), nowMs)).toMatchObject({ maxBatchRows: 0 });
  });

  it('loads all the same when made-up inputs do not run', async () => {
    const refusing = (): Tensor[] => {
      throw new Error('index out of range');
    };
    expect(await tryModel(refusing, rowwise, defaultScoringOptions, nowMs)).toMatchObject({
      maxBatchRows: 0,
      runMs: undefined,
      batchingReason: 'made-up inputs do not run: index out of range',
    });
  });
});
