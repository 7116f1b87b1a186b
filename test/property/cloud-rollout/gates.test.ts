import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Gate, gateSchema } from '#cloud/rollout/gates/gate-kinds.js';
import { chiSquareQuantile, normalQuantile } from '#cloud/rollout/gates/chi-square.js';
import { isAccepted } from '#cloud/rollout/gates/gate-step.js';
import { judgeGates } from '#cloud/rollout/gates/judge-gates.js';
import { logBeta } from '#cloud/rollout/gates/log-gamma.js';
import { logEvidence, samplesNeeded, testShare } from '#cloud/rollout/gates/share-test.js';
import { stabilityIndex } from '#cloud/rollout/gates/stability-index.js';
import { addNumbers, type ModuleNumbers, noNumbers } from '#cloud/telemetry/cohort-numbers.js';
import { wholeSpans } from '#cloud/telemetry/whole-spans.js';
import { addToSketch } from '#shared/protocol/sketch.js';
import { addCategory, addNumber, emptySummary } from '#shared/protocol/summary.js';
import { afterOrder } from '#cloud/rollout/apply.js';
import { anyGateMoods, anyMood, anyPolicy, fleetOf, RolloutWorld, withGates } from '#test/support/rollout-world.js';

describe('a wave with gates', () => {
  it('is left only when each of them has passed, or somebody went on in spite of it', () => {
    fc.assert(
      fc.property(anyPolicy, fleetOf(anyMood), anyGateMoods, fc.boolean(), (policy, moods, gateMoods, resumes) => {
        const world = new RolloutWorld(withGates(policy, gateMoods), moods, gateMoods);
        for (let step = 0; !world.isOver && step < 60; step++) {
          world.settle(({ transition, outcomes }) => {
            if (transition?.kind !== 'advance' && transition?.kind !== 'finish') return;
            if (world.rollout.state !== 'running') return;
            const now = new Map(outcomes.map((one) => [one.device, one.standing]));
            const runs = world.devices.some(
              ({ device, wave, standing }) =>
                wave === world.rollout.wave && (now.get(device) ?? standing) === 'succeeded',
            );
            if (!runs) return;
            for (const { gate, verdict } of world.gates()) {
              expect(verdict === 'pass' || isAccepted(gate, world.rollout)).toBe(true);
            }
          });
          if (resumes && world.rollout.state === 'paused') {
            world.rollout = afterOrder(world.rollout, { kind: 'resume' }, world.now);
          }
          world.pass(60_000);
        }
      }),
    );
  });
});

const counts = fc.record({ slow: fc.nat(40), fast: fc.nat(40), failed: fc.nat(40), elements: fc.nat(40) });
type Counts = typeof counts extends fc.Arbitrary<infer T> ? T : never;

function numbersOf({ slow, fast, failed, elements }: Counts): ModuleNumbers {
  const numbers = { ...noNumbers(), devices: 1, requests: slow + fast + failed };
  if (failed > 0) numbers.errors.set('inference.failed', failed);
  for (let n = 0; n < slow + fast; n++) addToSketch(numbers.latency, n < slow ? 900 : 10);
  const scores = emptySummary('numbers');
  const label = emptySummary('categories');
  for (let n = 0; n < elements; n++) {
    addNumber(scores, n % 7 === 6 ? Number.NaN : n, undefined);
    addCategory(label, String(n % 3), undefined);
  }
  if (elements > 0) numbers.outputs.set('scores', scores).set('label', label);
  return { ...numbers, memory: { count: slow, sum: slow * 1e8 } };
}

const some = { confidence: 0.5, minSamples: 41 };
const gates: readonly Gate[] = [
  { kind: 'latency', maxMs: 10_000, ...some },
  { kind: 'latency', maxRatio: 100, quantile: 0.5, ...some },
  { kind: 'errors', maxPercent: 100, ...some },
  { kind: 'invalid', module: 'digits', tensor: 'output.scores', maxPercent: 99, ...some },
  { kind: 'drift', module: 'digits', tensor: 'output.scores', maxPsi: 100, ...some },
  { kind: 'drift', module: 'digits', tensor: 'output.label', maxPsi: 100, ...some },
  { kind: 'memory', maxMegabytes: 1e6, minSamples: 41 },
].map((gate) => gateSchema.parse(gate));

describe('a gate', () => {
  it('never passes with fewer samples than it asks for, of either side, and says what it lacks', () => {
    fc.assert(
      fc.property(fc.constantFrom(...gates), counts, counts, (gate, candidate, reference) => {
        const evidence = {
          ...{ module: 'digits', devices: 1 },
          ...{ candidate: numbersOf(candidate), reference: numbersOf(reference) },
        };
        for (const verdict of judgeGates({ g: gate }, [{ gate: 'g', evidence: [evidence] }])) {
          if (verdict.samples < 41 || (verdict.referenceSamples ?? 41) < 41) expect(verdict.verdict).not.toBe('pass');
          expect(verdict.lack === undefined).toBe(verdict.verdict !== 'undecided');
        }
      }),
    );
  });

  it('says the same of numbers however they were put together', () => {
    fc.assert(
      fc.property(fc.constantFrom(...gates), counts, counts, (gate, one, other) => {
        const joined = (...parts: readonly Counts[]): ModuleNumbers => {
          const sum = noNumbers();
          for (const part of parts) addNumbers(sum, numbersOf(part));
          return sum;
        };
        const judged = (candidate: ModuleNumbers): unknown =>
          judgeGates({ g: gate }, [
            { gate: 'g', evidence: [{ module: 'm', devices: 2, candidate, reference: joined(one) }] },
          ]);
        expect(judged(joined(other, one))).toEqual(judged(joined(one, other)));
      }),
    );
  });
});

describe('the test of a share', () => {
  it('has the values of the beta function behind it', () => {
    expect(logBeta(1, 99)).toBeCloseTo(-Math.log(99), 10);
    expect(logBeta(2.5, 3.5)).toBeCloseTo(-3.301835269962053, 10);
    expect(logBeta(5e5, 5e5)).toBeCloseTo(-693152.47622926, 6);
    // Of a uniform mixture: 2^10 / 11.
    expect(Math.exp(logEvidence({ hits: 0, samples: 10 }, 0.5))).toBeCloseTo(1024 / 11, 6);
  });

  it('answers seldom wrongly for one who looks after every sample', () => {
    let seed = 1;
    const random = (): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return seed / 2 ** 32;
    };
    const runs = 300;
    const wrong = { above: 0, below: 0 };
    for (let run = 0; run < runs; run++) {
      let hits = 0;
      for (let samples = 1; samples <= 500; samples++) {
        if (random() < 0.1) hits += 1;
        const answer = testShare({ hits, samples }, 0.1, 0.95);
        if (answer === 'unknown') continue;
        wrong[answer] += 1;
        break;
      }
    }
    expect(wrong.above + wrong.below).toBeLessThanOrEqual(runs * 0.05);
  });

  it('answers rightly once the samples that it asks for are there', () => {
    const hits = fc.nat(30);
    fc.assert(
      fc.property(hits, fc.integer({ min: 30, max: 3000 }), fc.constantFrom(0.01, 0.05, 0.5), (k, samples, bound) => {
        const share = { hits: k, samples };
        const needed = samplesNeeded(share, bound, 0.95);
        if (needed === undefined) return;
        const answer = testShare({ hits: (k / samples) * needed, samples: needed }, bound, 0.95);
        expect(answer).toBe(k / samples > bound ? 'above' : 'below');
      }),
      { numRuns: 50 },
    );
  });
});

it('quantiles are those of the tables', () => {
  expect(normalQuantile(0.95)).toBeCloseTo(1.6448536, 6);
  expect(normalQuantile(0.01)).toBeCloseTo(-2.3263479, 6);
  expect(chiSquareQuantile(0.95, 1) / 3.841).toBeCloseTo(1, 1);
  expect(chiSquareQuantile(0.95, 9) / 16.919).toBeCloseTo(1, 2);
  expect(chiSquareQuantile(0.99, 3) / 11.345).toBeCloseTo(1, 2);
});

it('the stability index is that of the textbooks, symmetric, and 0 for what is alike', () => {
  // 10 %, 20 %, 70 % against 20 %, 20 %, 60 %.
  const index = 0.1 * Math.log(2) + 0.1 * Math.log(7 / 6);
  expect(stabilityIndex([1e6, 2e6, 7e6], [2e6, 2e6, 6e6])).toBeCloseTo(index, 4);
  const bins = fc.array(fc.nat(1000), { minLength: 2, maxLength: 20 });
  fc.assert(
    fc.property(bins, bins, (one, other) => {
      expect(stabilityIndex(one, one)).toBeCloseTo(0, 12);
      expect(stabilityIndex(one, other)).toBeCloseTo(stabilityIndex(other, one), 10);
      expect(stabilityIndex(one, other)).toBeGreaterThanOrEqual(0);
    }),
  );
});

it('a span is read from parts that are exactly it', () => {
  const at = fc.integer({ min: 0, max: 20_000_000 });
  fc.assert(
    fc.property(at, fc.option(at, { nil: undefined }), fc.nat(333), fc.nat(5), (from, to, minutes, hours) => {
      const summed = { minutesTo: minutes * 60_000, hoursTo: Math.min(hours, Math.floor(minutes / 60)) * 3_600_000 };
      const parts = wholeSpans(from, to, summed);
      const end = to === undefined ? Number.POSITIVE_INFINITY : to - (to % 60_000);
      let reached = from;
      for (const { resolution, fromMs, toMs } of parts) {
        expect(fromMs).toBe(reached);
        if (resolution > 0) expect(fromMs % (resolution * 1000)).toBe(0);
        if (resolution > 0) expect(toMs).toBeLessThanOrEqual(resolution === 60 ? summed.minutesTo : summed.hoursTo);
        reached = toMs;
      }
      if (from < end) expect(reached).toBe(end);
      else expect(parts).toEqual([]);
    }),
  );
});
