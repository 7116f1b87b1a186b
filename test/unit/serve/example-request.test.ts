import { describe, expect, it } from 'vitest';
import { requestOfNothing } from '#cloud/serve/example-request.js';

describe('a first request', () => {
  it('has nothing in every input, and one for each free dimension', () => {
    expect(
      requestOfNothing([
        { name: 'pixels', datatype: 'FP32', shape: ['batch', 2] },
        { name: 'words', datatype: 'BYTES', shape: [-1] },
        { name: 'sure', datatype: 'BOOL', shape: [] },
      ]),
    ).toEqual({
      inputs: [
        { name: 'pixels', datatype: 'FP32', shape: [1, 2], data: [0, 0] },
        { name: 'words', datatype: 'BYTES', shape: [1], data: [''] },
        { name: 'sure', datatype: 'BOOL', shape: [], data: [false] },
      ],
    });
  });

  it.each([
    ['an input that is no tensor', { datatype: 'sequence(FP32)', shape: [] }],
    ['a type without a JSON form', { datatype: 'BF16', shape: [1] }],
    ['a free rank', { datatype: 'FP32', shape: ['...'] }],
    ['more than anyone sends by hand', { datatype: 'FP32', shape: [1, 3, 4096, 4096] }],
  ])('is not made for %s', (_what, input) => {
    expect(requestOfNothing([{ name: 'x', ...input }])).toBeUndefined();
  });
});
