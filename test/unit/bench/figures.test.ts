import { describe, expect, it } from 'vitest';
import { parseCoreList } from '#test/bench/cores.js';
import { growthOf, slope, usualBounds, type Sample } from '#test/bench/growth.js';
import { LatencyHistogram } from '#test/bench/latency-histogram.js';
import { selfTimes } from '#test/bench/scoring/profile-summary.js';

describe('latency histogram', () => {
  const upTo = (most: number): LatencyHistogram => {
    const histogram = new LatencyHistogram();
    for (let ms = 1; ms <= most; ms++) histogram.add(ms);
    return histogram;
  };

  it('gives percentiles within its bucket width', () => {
    const histogram = upTo(1000);
    for (const [share, expected] of [
      [0.5, 500],
      [0.99, 990],
      [0.999, 999],
    ] as const) {
      const got = histogram.percentile(share) ?? Number.NaN;
      expect(Math.abs(got - expected) / expected).toBeLessThan(0.003);
    }
  });

  it('says nothing of a percentile that too few answers lie above', () => {
    expect(upTo(100).percentile(0.99)).toBeDefined();
    expect(upTo(99).percentile(0.99)).toBeUndefined();
    expect(new LatencyHistogram().percentile(0.5)).toBeUndefined();
  });

  it('adds up rounds that were sent as JSON', () => {
    const sent = JSON.parse(JSON.stringify([upTo(10).encode(), upTo(10).encode()])) as ReturnType<
      LatencyHistogram['encode']
    >[];
    const sum = LatencyHistogram.of(sent);
    expect(sum.count).toBe(20);
    expect(sum.percentile(0.5)).toBeCloseTo(5, 1);
  });
});

describe('growth', () => {
  const sample = (mib: number, descriptors = 20): Sample => ({
    pssBytes: mib * 1024 ** 2,
    rssBytes: 0,
    threads: 12,
    descriptors,
  });

  it('follows the line through all samples, not the last one', () => {
    expect(slope([1, 2, 3, 4])).toBeCloseTo(1);
    expect(slope([5, 5, 5, 5])).toBe(0);
    expect(slope([5])).toBe(0);
    const [memory] = growthOf([sample(100), sample(100), sample(100), sample(100), sample(130)], usualBounds);
    expect(memory).toMatchObject({ ok: true });
    expect(memory?.grown).toBeCloseTo(24);
  });

  it('is more than allowed where each sample holds a little more', () => {
    const samples = Array.from({ length: 60 }, (_, index) => sample(100 + index, 20 + index));
    expect(growthOf(samples, usualBounds).map(({ ok }) => ok)).toEqual([false, false, true]);
  });
});

describe('cores', () => {
  it('reads the list that taskset prints', () => {
    expect(parseCoreList("pid 7's current affinity list: 0,2-4\n")).toEqual(['0', '2', '3', '4']);
  });
});

describe('profile summary', () => {
  it('adds up the own time of a function over all its callers, idle time apart', () => {
    const frame = (functionName: string) => ({ functionName, url: 'file:///a/b/c.js', lineNumber: 9 });
    const nodes = [
      { id: 1, callFrame: frame('parse') },
      { id: 2, callFrame: frame('parse') },
      { id: 3, callFrame: { functionName: '(idle)', url: '', lineNumber: -1 } },
      { id: 4, callFrame: frame('') },
    ];
    const samples = [1, 2, 3, 4];
    expect(selfTimes({ nodes, samples, timeDeltas: [1000, 2000, 9000, 1000] })).toEqual([
      { where: 'parse b/c.js:10', ms: 3, share: 0.75 },
      { where: '(anonymous) b/c.js:10', ms: 1, share: 0.25 },
    ]);
  });
});
