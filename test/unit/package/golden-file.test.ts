import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { readGoldenFile } from '#shared/package/golden-file.js';

const tensor = { name: 'x', shape: [2], datatype: 'FP32', data: [1, 2] };
const vector = { name: 'one', request: { inputs: [tensor] }, response: { outputs: [tensor] } };
const read = (value: unknown) => readGoldenFile(Buffer.from(JSON.stringify(value)), 'golden.json');

describe('golden vectors', () => {
  it.each(['golden.json', 'golden-v2.json'])('of the digits module are read: %s', async (name) => {
    const bytes = await readFile(new URL(`../../../modules/digits/${name}`, import.meta.url));
    expect(readGoldenFile(bytes, name).length).toBeGreaterThan(0);
  });

  it('may nest their data as the shape does', () => {
    const nested = {
      ...tensor,
      shape: [2, 2],
      data: [
        [1, 2],
        [3, 4],
      ],
    };
    expect(read([{ ...vector, request: { inputs: [nested] } }])).toHaveLength(1);
  });

  it.each<[string, unknown]>([
    ['are no list', vector],
    ['are none', []],
    ['have one name twice', [vector, vector]],
    ['lack the response', [{ name: 'one', request: vector.request }]],
    ['are plain arrays', [{ name: 'one', request: { x: [1, 2] }, response: { y: [1] } }]],
    ['have too few elements for their shape', [{ ...vector, request: { inputs: [{ ...tensor, shape: [3] }] } }]],
    ['have null among their data', [{ ...vector, request: { inputs: [{ ...tensor, data: [1, null] }] } }]],
  ])('that %s are refused, and the message names the file', (_what, value) => {
    expect(() => read(value)).toThrow(AppError);
    expect(() => read(value)).toThrow(/^golden\.json: /);
  });
});
