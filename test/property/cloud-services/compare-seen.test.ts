import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { comparisonSchema } from '#shared/protocol/comparison.js';
import type { AnswerSeen } from '#cloud/services/front/mirror.js';
import { compareSeen, outcomeOf } from '#cloud/services/host/telemetry/compare-seen.js';

/** Whatever a replica that runs anyone's code may answer. */
const body = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc.json({ maxDepth: 4 }).map((text) => Buffer.from(text)),
  fc
    .record({
      name: fc.constantFrom('a', 'b'),
      datatype: fc.constantFrom('FP32', 'FP16', 'INT64', 'BYTES', 'BOOL', 'X'),
      shape: fc.array(fc.integer({ min: -1, max: 5 }), { maxLength: 3 }),
      parameters: fc.record({ binary_data_size: fc.oneof(fc.integer(), fc.constant('1')) }, { requiredKeys: [] }),
    })
    .map((output) => Buffer.concat([Buffer.from(JSON.stringify({ outputs: [output] })), Buffer.alloc(13, 7)])),
);
const seen = fc.record({
  ...{ deployment: fc.constant('blue'), image: fc.constant(undefined), status: fc.constant(200) },
  ...{ latencyMs: fc.constant(1), contentType: fc.constant(undefined), body: fc.option(body, { nil: undefined }) },
  jsonLength: fc.option(fc.oneof(fc.nat(220).map(String), fc.string({ maxLength: 4 })), { nil: undefined }),
});
const rule = fc
  .constantFrom({ kind: 'tolerance' }, { kind: 'top-1' }, { kind: 'custom', outputs: { a: { kind: 'cosine' } } })
  .map((one) => comparisonSchema.parse(one));

describe('two answers that the front saw', () => {
  it('are compared or are not, whatever bytes they are, and never end the comparing', () => {
    fc.assert(
      fc.property(seen, seen, rule, (live: AnswerSeen, mirrored: AnswerSeen, by) => {
        const outcome = compareSeen(live, mirrored, by);
        if (live.body === undefined || mirrored.body === undefined) expect(outcome.kind).toBe('uncompared');
      }),
    );
  });

  it('agree with themselves wherever they can be read', () => {
    const numbers = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { maxLength: 20 });
    fc.assert(
      fc.property(fc.dictionary(fc.string({ maxLength: 3 }), numbers), (answer) => {
        const same = { deployment: 'blue', image: undefined, status: 200, latencyMs: 1, contentType: undefined };
        const one: AnswerSeen = { ...same, jsonLength: undefined, body: Buffer.from(JSON.stringify(answer)) };
        expect(compareSeen(one, one, comparisonSchema.parse({ kind: 'tolerance' }))).toMatchObject({ agreed: true });
      }),
      { numRuns: 30 },
    );
  });

  it('say something of both sides only where the live one was answered', () => {
    fc.assert(
      fc.property(fc.integer({ min: 200, max: 599 }), fc.integer({ min: 200, max: 599 }), (live, mirrored) => {
        const outcome = outcomeOf(live, mirrored);
        if (live > 299) expect(['live-failed', 'nothing']).toContain(outcome);
        else expect(['compare', 'mirrored-failed', 'no-room']).toContain(outcome);
      }),
    );
  });
});
