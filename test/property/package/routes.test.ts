import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findCycle, type RouteEdge } from '#shared/package/routes/route-graph.js';
import { matchesFilter, topicFilterSchema, topicSchema } from '#shared/protocol/local-topic.js';
import { routesSchema } from '#shared/protocol/route.js';

const modules = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
const edges: fc.Arbitrary<RouteEdge[]> = fc.array(
  fc.record({ from: modules, to: modules }).map(({ from, to }) => ({ from, to, by: `${from}${to}`, routes: [] })),
  { maxLength: 14 },
);

/** By taking away whatever nothing leads to, until only circles are left. */
function hasCycle(all: readonly RouteEdge[]): boolean {
  let left = all;
  for (;;) {
    const next = left.filter(({ from }) => left.some(({ to }) => to === from));
    if (next.length === left.length) return left.length > 0;
    left = next;
  }
}

describe('circles of routes', () => {
  it('are found exactly where there are some, and what is found is one', () => {
    fc.assert(
      fc.property(edges, (all) => {
        const cycle = findCycle(all);
        expect(cycle !== undefined).toBe(hasCycle(all));
        for (const [at, { to }] of (cycle ?? []).entries()) {
          expect(cycle?.[(at + 1) % cycle.length]?.from).toBe(to);
        }
      }),
    );
  });
});

const level = fc.constantFrom('a', 'b', '', 'plant');
const topics = fc.array(level, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'));
const filters = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 5 }), fc.boolean())
  .map(([parts, rest]) => [...parts, ...(rest ? ['#'] : [])].join('/'));

describe('filters of topics', () => {
  it('match what the words of the standard match', () => {
    fc.assert(
      fc.property(topics, filters, (topic, filter) => {
        const pattern = filter.replace(/\/#$/, '(?:/.*)?').replace(/^#$/, '.*').replaceAll('+', '[^/]*');
        expect(matchesFilter(topic, filter)).toBe(new RegExp(`^${pattern}$`).test(topic));
      }),
    );
  });

  it('are read or refused, whatever comes', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const asTopic = topicSchema.safeParse(text).success;
        if (asTopic) expect(topicFilterSchema.safeParse(text).success).toBe(true);
        if (asTopic) expect(matchesFilter(text, text)).toBe(true);
      }),
    );
  });
});

describe('routes', () => {
  it('are read or refused, whatever comes', () => {
    const words = fc.constantFrom('from', 'to', 'topic', 'input', 'output', 'codec', 'image', 'queue', 'a', 'amlInput');
    const anything = fc.letrec((tie) => ({
      value: fc.oneof({ depthSize: 'small' }, words, fc.integer(), fc.constant(null), tie('map')),
      map: fc.dictionary(words, tie('value'), { maxKeys: 4 }),
    })).map;
    fc.assert(fc.property(anything, (value) => void routesSchema.safeParse(value)));
  });
});
