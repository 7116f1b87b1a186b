import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { readRequestHints } from '#shared/scoring/codec/request-hints.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const counts = fc.integer({ min: 0, max: 1e9 });
const words = fc.constantFrom(
  'priority',
  'timeout',
  'parameters',
  '"priority":1',
  '\\',
  '{',
  ']',
  'x"',
  '\\"timeout\\"',
);
const junk = fc.jsonValue({ maxDepth: 4 });
const tensors = fc.array(
  fc.record({
    name: words,
    data: fc.array(fc.oneof(words, fc.double({ noNaN: true }))),
    parameters: fc.record({ timeout: counts }),
  }),
);

describe('request hints', () => {
  it('are what parsing the whole request would find, wherever the parameters stand and whatever the data says', () => {
    const parameters = fc.record({ priority: counts, timeout: counts, other: junk }, { requiredKeys: [] });
    fc.assert(
      fc.property(
        tensors,
        parameters,
        junk,
        fc.boolean(),
        fc.integer({ min: 0, max: 3 }),
        (inputs, own, more, first, space) => {
          const request = first ? { parameters: own, inputs, more } : { inputs, more: [more], parameters: own };
          const { priority, timeoutMs } = readRequestHints(bytes(JSON.stringify(request, undefined, space)));
          expect(priority).toBe(own.priority || undefined);
          expect(timeoutMs).toBe(own.timeout ? own.timeout / 1000 : undefined);
        },
      ),
    );
  });

  it('are nothing for a request whose tensors alone have such keys', () => {
    fc.assert(
      fc.property(tensors, (inputs) => {
        expect(readRequestHints(bytes(JSON.stringify({ inputs })))).toEqual({});
      }),
    );
  });

  it('come of any bytes without a failure but ours', () => {
    const pieces = fc.array(
      fc.constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', '"parameters"', '"priority"', '1', ' '),
    );
    fc.assert(
      fc.property(pieces, (list) => {
        try {
          readRequestHints(bytes(list.join('')));
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }),
    );
  });

  it('refuse a priority or timeout that is none', () => {
    for (const value of ['-1', '1.5', '"high"', 'null', 'true', '[]', '1e30']) {
      expect(() => readRequestHints(bytes(`{"parameters":{"timeout":${value}}}`))).toThrowError(
        /timeout of the request must be/,
      );
    }
    expect(readRequestHints(bytes('{"parameters":{"priority":"2"}}'))).toEqual({ priority: 2 });
  });
});
