import { describe, expect, it } from 'vitest';
import { encodeInferResponse } from '#shared/scoring/codec/infer-response.js';
import { encodePlainResponse } from '#shared/scoring/codec/plain-request.js';
import type { Tensor } from '#shared/scoring/codec/tensor.js';
import { maxComparedElements, outputValues } from '#shared/scoring/traffic/answer-values.js';
import { compareAnswers } from '#shared/scoring/traffic/compare-answers.js';
import type { Comparison } from '#shared/protocol/comparison.js';

const scores = (...values: number[]): Tensor => ({
  name: 'scores',
  datatype: 'FP32',
  shape: [values.length / 2, 2],
  data: Float32Array.from(values),
});
const labels = (...values: bigint[]): Tensor => ({
  name: 'label',
  datatype: 'INT64',
  shape: [values.length],
  data: BigInt64Array.from(values),
});
const words = (...values: string[]): Tensor => ({
  name: 'word',
  datatype: 'BYTES',
  shape: [values.length],
  data: values,
});

type Form = 'json' | 'binary' | 'plain';

function valuesOf(form: Form, tensors: readonly Tensor[]) {
  const signature = { inputs: [], outputs: tensors.map(({ name, datatype, shape }) => ({ name, datatype, shape })) };
  const answer =
    form === 'plain'
      ? { body: encodePlainResponse(tensors) }
      : encodeInferResponse({
          modelName: 'm',
          modelVersion: '1',
          id: undefined,
          outputs: tensors.map((tensor) => ({ tensor, binary: form === 'binary' })),
        });
  const values = outputValues(answer, signature);
  if (!values) throw new Error('not read');
  return values;
}

const compare = (form: Form, live: readonly Tensor[], shadow: readonly Tensor[], rule: Comparison) =>
  compareAnswers(valuesOf(form, live), valuesOf(form, shadow), rule);

const close: Comparison = { kind: 'tolerance', absolute: 0.01, relative: 0 };
const exactWords: Comparison = { kind: 'custom', outputs: { scores: { kind: 'ignore' } }, others: close };

describe.each(['json', 'binary', 'plain'] as const)('two answers as %s', (form) => {
  it('agree within the tolerance, and tell their largest difference', () => {
    const outcome = compare(form, [scores(0.5, 0.25), labels(7n)], [scores(0.5078125, 0.25), labels(7n)], close);
    expect(outcome).toEqual({ kind: 'compared', agreed: true, largestDifference: 0.0078125 });
  });

  it('takes floats for floats, also where their values happen to be whole', () => {
    expect(compare(form, [scores(1, 2)], [scores(1.0078125, 2)], close)).toEqual({
      kind: 'compared',
      agreed: true,
      largestDifference: 0.0078125,
    });
  });

  it.each([
    ['floats beyond it', [scores(0.5, 0.25)], [scores(0.75, 0.25)]],
    ['another integer, however near', [labels(1000n)], [labels(1001n)]],
    ['another text', [words('a', 'b')], [words('a', 'c')]],
    ['another shape', [scores(1, 2, 3, 4)], [scores(1, 2)]],
    ['an output that is missing', [scores(1, 2), labels(1n)], [scores(1, 2)]],
  ])('disagree by %s', (_, live, shadow) => {
    expect(compare(form, live, shadow, { ...close, relative: 0.1 })).toMatchObject({ agreed: false });
  });

  it('agree by top-1 where each row has its largest value at the same place', () => {
    const rule: Comparison = { kind: 'top-1' };
    const live = [labels(1n), scores(0.1, 0.9, 0.8, 0.2)];
    expect(compare(form, live, [labels(2n), scores(0.4, 0.6, 0.6, 0.4)], rule)).toMatchObject({ agreed: true });
    expect(compare(form, live, [labels(1n), scores(0.1, 0.9, 0.4, 0.6)], rule)).toMatchObject({ agreed: false });
    expect(compare(form, live, live, { kind: 'top-1', output: 'nothing' })).toMatchObject({ agreed: false });
  });

  it('agree by a rule for each output', () => {
    const live = [scores(0, 1), words('a')];
    expect(compare(form, live, [scores(5, 5), words('a')], exactWords)).toMatchObject({ agreed: true });
    expect(compare(form, live, [scores(0, 1), words('b')], exactWords)).toMatchObject({ agreed: false });
    const angle: Comparison = { kind: 'custom', outputs: { scores: { kind: 'cosine', atLeast: 0.9 } }, others: close };
    expect(compare(form, live, [scores(0, 8), words('a')], angle)).toMatchObject({ agreed: true });
    expect(compare(form, live, [scores(1, 0), words('a')], angle)).toMatchObject({ agreed: false });
  });
});

describe('an answer that is not finite or large', () => {
  it('agrees with its own NaN and infinities, and has no difference by them', () => {
    const live = [scores(NaN, Infinity)];
    expect(compare('binary', live, [scores(NaN, Infinity)], close)).toEqual({
      kind: 'compared',
      agreed: true,
      largestDifference: undefined,
    });
    expect(compare('binary', live, [scores(NaN, -Infinity)], close)).toMatchObject({ agreed: false });
  });

  it('is compared by its first elements when binary, and not at all as JSON', () => {
    const data = new Float32Array(2 * maxComparedElements).fill(0.123456789);
    const large: Tensor = { name: 'scores', datatype: 'FP32', shape: [maxComparedElements, 2], data };
    expect(valuesOf('binary', [large])[0]?.values).toHaveLength(maxComparedElements);
    const json = { body: encodePlainResponse([large]) };
    expect(outputValues(json, { inputs: [], outputs: [] })).toBeUndefined();
  });

  it('in half precision is compared by value', () => {
    const half = (bits: number): Tensor => ({ name: 'h', datatype: 'FP16', shape: [1], data: Uint16Array.of(bits) });
    expect(valuesOf('binary', [half(0x3c00)])[0]?.values[0]).toBe(1);
    expect(valuesOf('binary', [half(0xc500)])[0]?.values[0]).toBe(-5);
    expect(valuesOf('binary', [half(0x0001)])[0]?.values[0]).toBe(2 ** -24);
    expect(compare('binary', [half(0x3c00)], [half(0x3c01)], close)).toMatchObject({ agreed: true });
  });
});
