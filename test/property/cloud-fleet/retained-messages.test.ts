import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matchesFilter } from '#shared/protocol/local-topic.js';
import { RetainedMessages } from '#cloud/mqtt/retained-messages.js';

const level = fc.constantFrom('a', 'b', '', 'desired');
const levels = fc.array(level, { minLength: 1, maxLength: 6 });
const topic = levels.map((parts) => parts.join('/')).filter((text) => text !== '');
const filter = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 6 }), fc.boolean())
  .map(([parts, all]) => [...parts, ...(all ? ['#'] : [])].join('/'))
  .filter((text) => text !== '');

function message(name: string, payload: string) {
  return {
    cmd: 'publish' as const,
    ...{ topic: name, payload: Buffer.from(payload) },
    ...{ qos: 1 as const, retain: true, dup: false, brokerId: 'b', brokerCounter: 1 },
  };
}

describe('retained messages', () => {
  it('are found by each filter that matches their topic, the last of each topic and none that was removed', () => {
    const stored = fc.array(fc.tuple(topic, fc.constantFrom('', 'x', 'y')), { maxLength: 20 });
    fc.assert(
      fc.property(stored, filter, (all, wanted) => {
        const retained = new RetainedMessages();
        const last = new Map<string, string>();
        for (const [name, payload] of all) {
          retained.store(message(name, payload));
          last.set(name, payload);
        }
        const expected = [...last].filter(([name, payload]) => payload !== '' && matchesFilter(name, wanted));
        const found = retained.matching(wanted).map((one) => [one.topic, String(one.payload)]);
        expect(found.sort()).toEqual(expected.sort());
      }),
      { numRuns: 500 },
    );
  });
});
