import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Probation, probationSchema } from '#shared/protocol/desired.js';
import { judgeProbation, type ProbationEvidence, type WatchedModule } from '#shared/supervisor/probation.js';

const counted = fc
  .record({
    requests: fc.integer({ min: 0, max: 500 }),
    failing: fc.double({ min: 0, max: 1, noNaN: true }),
    p99Ms: fc.option(fc.double({ min: 0, max: 500, noNaN: true })),
  })
  .map(({ requests, failing, p99Ms }) => ({ requests, errors: Math.floor(requests * failing), p99Ms }));
const policy: fc.Arbitrary<Probation> = fc.record({
  windowSeconds: fc.integer({ min: 0, max: 60 }),
  minRequests: fc.integer({ min: 1, max: 200 }),
  maxSeconds: fc.integer({ min: 0, max: 120 }),
  maxErrorRate: fc.double({ min: 0, max: 1, noNaN: true }),
  maxP99Ratio: fc.double({ min: 1, max: 10, noNaN: true }),
  maxMemoryRatio: fc.double({ min: 1, max: 10, noNaN: true }),
});
const bytes = fc.integer({ min: 1, max: 2 ** 32 });
const evidence: fc.Arbitrary<ProbationEvidence> = fc.record({
  watchedMs: fc.integer({ min: 0, max: 150_000 }),
  modules: fc.uniqueArray(
    fc.record({ module: fc.constantFrom('a', 'b', 'c'), policy, candidate: counted, incumbent: counted }),
    { selector: ({ module }) => module, minLength: 1, maxLength: 3 },
  ),
  memory: fc.option(fc.record({ candidateBytes: bytes, incumbentBytes: bytes }), { nil: undefined }),
  crash: fc.option(fc.record({ module: fc.constantFrom('a', undefined), reason: fc.constant('SIGSEGV') }), {
    nil: undefined,
    freq: 5,
  }),
});

const enough = ({ candidate, policy: { minRequests } }: WatchedModule): boolean => candidate.requests >= minRequests;

describe('whatever was measured of versions on probation', () => {
  it('nothing passes with a crash, and a crash is always a failure', () => {
    fc.assert(
      fc.property(evidence, (one) => {
        const { kind } = judgeProbation(one);
        if (one.crash !== undefined) expect(kind).toBe('fail');
      }),
    );
  });

  it('nothing passes before its window is over, nor with too few requests before the longest wait is', () => {
    fc.assert(
      fc.property(evidence, (one) => {
        if (judgeProbation(one).kind !== 'pass') return;
        for (const module of one.modules) {
          const { windowSeconds, maxSeconds } = module.policy;
          expect(one.watchedMs).toBeGreaterThanOrEqual(windowSeconds * 1000);
          if (!enough(module)) expect(one.watchedMs).toBeGreaterThanOrEqual(maxSeconds * 1000);
        }
      }),
    );
  });

  it('too few requests, or one failed request alone, never speak against a version', () => {
    fc.assert(
      fc.property(evidence, (one) => {
        const verdict = judgeProbation({ ...one, crash: undefined, memory: undefined });
        if (verdict.kind !== 'fail') return;
        for (const name of verdict.modules ?? []) {
          const module = one.modules.find((watched) => watched.module === name);
          expect(module !== undefined && enough(module)).toBe(true);
        }
        const few = one.modules.map((module) => ({
          ...module,
          candidate: { requests: 1_000_000, errors: 1, p99Ms: null },
        }));
        expect(judgeProbation({ watchedMs: one.watchedMs, modules: few }).kind).not.toBe('fail');
      }),
    );
  });

  it('a watch says a time that is still to come, and at that time it is over but for want of requests', () => {
    fc.assert(
      fc.property(evidence, (one) => {
        const verdict = judgeProbation(one);
        if (verdict.kind !== 'watch') return;
        expect(verdict.untilMs).toBeGreaterThan(one.watchedMs);
        const later = judgeProbation({ ...one, watchedMs: verdict.untilMs });
        if (later.kind === 'watch') expect(one.modules.every(enough)).toBe(false);
        expect(judgeProbation({ ...one, watchedMs: 120_000 }).kind).not.toBe('watch');
      }),
    );
  });

  it('more errors, more latency or more memory never turn a failure into anything else', () => {
    fc.assert(
      fc.property(evidence, fc.integer({ min: 0, max: 1000 }), (one, more) => {
        if (judgeProbation(one).kind !== 'fail') return;
        const worse = {
          ...one,
          modules: one.modules.map((module) => {
            const { requests, errors, p99Ms } = module.candidate;
            return {
              ...module,
              candidate: {
                requests,
                errors: Math.min(requests, errors + more),
                p99Ms: p99Ms === null ? null : p99Ms + more,
              },
            };
          }),
          memory: one.memory && { ...one.memory, candidateBytes: one.memory.candidateBytes + more },
        };
        expect(judgeProbation(worse).kind).toBe('fail');
      }),
    );
  });
});

describe('a version on probation, by the usual policy', () => {
  const usual = probationSchema.parse({ windowSeconds: 60 });
  const incumbent = { requests: 1000, errors: 0, p99Ms: 4, p50Ms: 2 };
  const slowTail = { requests: 200, errors: 0, p99Ms: 40 };
  const judge = (candidate: WatchedModule['candidate'], more: Partial<ProbationEvidence> = {}) =>
    judgeProbation({ watchedMs: 60_000, modules: [{ module: 'a', policy: usual, candidate, incumbent }], ...more });

  it.each([
    ['is as good as the one before', { requests: 200, errors: 0, p99Ms: 5 }, {}, 'pass'],
    ['fails a tenth of its requests', { requests: 200, errors: 20, p99Ms: 5 }, {}, 'fail'],
    ['fails a tenth early in its window', { requests: 200, errors: 20, p99Ms: 5 }, { watchedMs: 5_000 }, 'fail'],
    ['takes ten times as long', { requests: 200, errors: 0, p99Ms: 40 }, {}, 'fail'],
    [
      'takes ten times as long early in its window',
      { requests: 200, errors: 0, p99Ms: 40 },
      { watchedMs: 5_000 },
      'watch',
    ],
    ['is slow in every hundredth, and in the middle', { ...slowTail, p50Ms: 9 }, {}, 'fail'],
    ['is slow in every hundredth only', { ...slowTail, p50Ms: 2 }, {}, 'watch'],
    ['is so for three windows', { ...slowTail, p50Ms: 2 }, { watchedMs: 180_000 }, 'fail'],
    ['was so for a moment', { ...slowTail, p50Ms: 2, p99Ms: 5 }, { watchedMs: 90_000 }, 'pass'],
    ['takes a few milliseconds more', { requests: 200, errors: 0, p99Ms: 13.9 }, {}, 'pass'],
    ['was hardly asked', { requests: 3, errors: 3, p99Ms: null }, {}, 'pass'],
    [
      'holds four times the memory',
      { requests: 200, errors: 0, p99Ms: 5 },
      { memory: { candidateBytes: 800e6, incumbentBytes: 200e6 }, watchedMs: 1_000 },
      'fail',
    ],
    [
      'holds twice of very little memory',
      { requests: 200, errors: 0, p99Ms: 5 },
      { memory: { candidateBytes: 90e6, incumbentBytes: 30e6 } },
      'pass',
    ],
  ] as const)('that %s', (_what, candidate, more, verdict) => {
    expect(judge(candidate, more).kind).toBe(verdict);
  });

  it('that fails as often as the one before it did, as its clients send nonsense, passes', () => {
    const module = { module: 'a', policy: usual, candidate: { requests: 200, errors: 60, p99Ms: 5 } };
    const before = { requests: 1000, errors: 300, p99Ms: 5 };
    expect(judgeProbation({ watchedMs: 60_000, modules: [{ ...module, incumbent: before }] }).kind).toBe('pass');
  });
});
