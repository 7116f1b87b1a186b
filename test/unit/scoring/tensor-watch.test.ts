import { describe, expect, it } from 'vitest';
import { telemetrySchema } from '#shared/package/telemetry-options.js';
import { elementsOf } from '#shared/protocol/summary.js';
import { allocate, type Datatype, type Tensor } from '#shared/scoring/codec/tensor.js';
import { TensorWatch } from '#shared/scoring/worker/tensor-watch.js';

const tensor = (name: string, datatype: Datatype, shape: readonly number[], values: readonly unknown[]): Tensor => {
  if (datatype === 'BYTES') return { name, datatype, shape, data: values as string[] };
  const data = allocate(datatype, values.length);
  for (const [index, value] of values.entries()) Object.assign(data, { [index]: value });
  return { name, datatype, shape, data };
};

function watching(options: object, model = 'm') {
  let now = 0;
  const watch = TensorWatch.of(telemetrySchema.parse(options), model, () => now);
  return { watch, at: (ms: number) => (now = ms) };
}

describe('tensors of requests', () => {
  it('are summed up as the manifest asks: numbers with what is none of them, values, and chosen classes', () => {
    const { watch } = watching({
      inputs: [
        { name: 'x', missing: -1 },
        { name: 'kind', as: 'categories' },
      ],
      outputs: [
        { name: 'scores', as: 'argmax' },
        { name: 'on', as: 'categories' },
      ],
    });
    watch?.offer(
      [tensor('x', 'FP32', [5], [1, -2, NaN, Infinity, -1]), tensor('kind', 'BYTES', [3], ['a', '', 'a'])],
      [tensor('scores', 'FP32', [2, 3], [0, 2, 1, 5, 4, NaN]), tensor('on', 'BOOL', [1], [1])],
    );
    const seen = watch?.take();
    expect(seen?.samples).toBe(1);
    expect(seen?.inputs.get('x')).toMatchObject({ missing: 1, nan: 1, infinite: 1, min: -2, max: 1, sum: -1 });
    expect(seen?.inputs.get('kind')).toMatchObject({ missing: 1, counts: new Map([['a', 2]]) });
    expect(seen?.outputs.get('scores')).toMatchObject({
      counts: new Map([
        ['1', 1],
        ['0', 1],
      ]),
    });
    expect(seen?.outputs.get('on')).toMatchObject({ counts: new Map([['true', 1]]) });
    expect(watch?.take()).toBeUndefined();
  });

  it('are looked at no more often than it says, and again when the time has come', () => {
    const { watch, at } = watching({ samplesPerSecond: 2, inputs: [{ name: 'x' }] });
    for (const ms of [0, 1, 499, 500, 999, 1000]) {
      at(ms);
      watch?.offer([tensor('x', 'INT64', [1], [7n])], []);
    }
    expect(watch?.take()?.samples).toBe(3);
  });

  it('that are large are read in part, each time others', () => {
    const { watch, at } = watching({ inputs: [{ name: 'x', as: 'categories' }] });
    const large = tensor(
      'x',
      'UINT16',
      [3000],
      Array.from({ length: 3000 }, (_, index) => index % 3),
    );
    const counts = [0, 1000, 2000].map((ms) => {
      at(ms);
      watch?.offer([large], []);
      const summary = watch?.take()?.inputs.get('x');
      return summary === undefined ? 0 : elementsOf(summary);
    });
    expect(counts).toEqual([1000, 1000, 1000]);
  });

  it('of a half are read as numbers, and an output that was not asked for is passed over', () => {
    const { watch } = watching({ inputs: [{ name: 'x' }], outputs: [{ name: 'y' }] });
    watch?.offer([tensor('x', 'FP16', [1], [0x3c00])], []);
    const seen = watch?.take();
    expect(seen?.inputs.get('x')).toMatchObject({ min: 1, max: 1 });
    expect(seen?.outputs.size).toBe(0);
  });

  it('of another model, or where nothing is asked, are not looked at', () => {
    expect(watching({ inputs: [{ name: 'x', model: 'other' }] }).watch).toBeUndefined();
    expect(watching({}).watch).toBeUndefined();
    expect(TensorWatch.of(undefined, 'm', () => 0)).toBeUndefined();
  });
});
