import { describe, expect, it } from 'vitest';
import { difference, readResponse, requestOf, responseOf, type BenchTensor } from '#test/bench/scoring/wire.js';
import { kindsOf, pickKind } from '#test/bench/soak/kinds.js';

const outputs: readonly BenchTensor[] = [
  { name: 'y', datatype: 'FP32', shape: [1, 2], data: [0.5, -0.25] },
  { name: 'label', datatype: 'INT64', shape: [1], data: [7] },
];

describe('benchmark wire', () => {
  it.each(['JSON', 'binary'] as const)('reads back what it writes as %s', (form) => {
    expect(difference(outputs, readResponse(responseOf('m', outputs, form)))).toBeUndefined();
  });

  it('asks for binary outputs with binary inputs', () => {
    const { body, jsonLength } = requestOf(outputs, 'binary');
    expect(JSON.parse(body.toString('utf8', 0, jsonLength))).toMatchObject({
      parameters: { binary_data_output: true },
    });
    expect(body.length - (jsonLength ?? 0)).toBe(2 * 4 + 8);
  });

  it.each([
    ['a value beyond the tolerance', { data: [0.5, -0.26] }, /output "y" element 1 is -0.26, expected -0.25/],
    ['no number', { data: [0.5, Number.NaN] }, /element 1 is NaN/],
    ['another shape', { shape: [2, 1] }, /shape \[2,1\], expected \[1,2\]/],
    ['another name', { name: 'z' }, /no output "y"/],
  ] as const)('names %s', (_what, change, message) => {
    const [first, second] = outputs;
    expect(difference(outputs, [{ ...first, ...change }, second] as BenchTensor[])).toMatch(message);
  });
});

describe('soak kinds', () => {
  const kinds = kindsOf([{ name: 'm', inputs: outputs, weights: { JSON: 50, binary: 36 } }]);

  it('come as often as their weights say', () => {
    expect(kinds.reduce((sum, { weight }) => sum + weight, 0)).toBe(100);
    expect(pickKind(kinds, 0)?.name).toBe('m JSON');
    expect(pickKind(kinds, 0.51)?.name).toBe('m binary');
    expect(pickKind(kinds, 0.999)?.name).toBe('gone before the answer');
  });
});
