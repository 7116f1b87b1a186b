import fc from 'fast-check';
import { expect, it } from 'vitest';
import { joinDetails, type ModuleDetail } from '#cloud/telemetry/module-detail.js';
import { type ModuleCounts, ModuleSum } from '#cloud/telemetry/module-sum.js';
import { joinCounts, joinSketches } from '#shared/protocol/merge-metrics.js';
import { addCategory, addNumber, emptySummary, encodeSummary } from '#shared/protocol/summary.js';
import { sketchOf } from '#test/support/telemetry-batches.js';

const sketch = fc.array(fc.float({ min: 0, max: 1000, noNaN: true }), { maxLength: 5 }).map((all) => sketchOf(...all));
const numbers = fc.array(fc.constantFrom(-3, -0.5, 0, 2, 700, Number.NaN, Number.POSITIVE_INFINITY)).map((all) => {
  const summary = emptySummary('numbers');
  for (const one of all) addNumber(summary, one, undefined);
  return encodeSummary(summary);
});
const categories = fc.array(fc.constantFrom('a', 'b', 'c', '')).map((all) => {
  const summary = emptySummary('categories');
  for (const one of all) addCategory(summary, one, undefined);
  return encodeSummary(summary);
});
const tensors = fc.record({
  samples: fc.nat(9),
  inputs: fc.dictionary(fc.constantFrom('x', 'y'), numbers),
  // A version may count what another one summarised.
  outputs: fc.dictionary(fc.constantFrom('x', 'y'), fc.oneof(numbers, categories)),
});
const counter = { in: fc.nat(9), out: fc.nat(9), dropped: fc.dictionary(fc.constantFrom('full', 'gone'), fc.nat(9)) };
const detail: fc.Arbitrary<ModuleDetail> = fc.record(
  {
    ...{ stages: fc.record({ queueMs: sketch, computeMs: sketch }), tensors },
    routes: fc.dictionary(fc.constantFrom('r', 's'), fc.record(counter)),
  },
  { requiredKeys: [] },
);
const errors = fc.dictionary(fc.constantFrom('internal', 'score.timeout'), fc.nat(9));
const counts: fc.Arbitrary<ModuleCounts> = fc.record({ requests: fc.nat(99), errors, latency: sketch, detail });

/** Pairwise, as devices join what they did not send yet. */
const join = (one: ModuleCounts, other: ModuleCounts): ModuleCounts => ({
  requests: one.requests + other.requests,
  errors: joinCounts(one.errors, other.errors),
  latency: joinSketches(one.latency, other.latency),
  detail: joinDetails(one.detail, other.detail),
});
const nothing: ModuleCounts = { requests: 0, errors: {}, latency: sketchOf(), detail: {} };

it('a sum of many is what joining them one after another comes to', () => {
  fc.assert(
    fc.property(fc.array(counts, { maxLength: 6 }), (all) => {
      const sum = new ModuleSum({ workspace: 'w', device: 'd', module: 'm', version: 1, digest: '', provider: '' });
      for (const one of all) sum.add(one);
      expect(sum.counts()).toEqual(all.reduce(join, nothing));
    }),
    { numRuns: 60 },
  );
});
