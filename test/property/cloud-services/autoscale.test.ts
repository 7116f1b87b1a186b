import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { autoscale, type AutoScale, firstScale, type Load, replicasOf } from '#cloud/services/host/autoscale.js';
import { scaleSchema } from '#cloud/services/desired-services.js';

const scales = fc
  .record({
    min: fc.integer({ min: 0, max: 5 }),
    max: fc.integer({ min: 1, max: 20 }),
    targetOutstanding: fc.constantFrom(0.5, 1, 2, 8),
    maxP99Ms: fc.option(fc.constant(100), { nil: undefined }),
    coolDownSeconds: fc.integer({ min: 1, max: 600 }),
  })
  .map(
    ({ maxP99Ms, ...scale }): AutoScale =>
      scaleSchema.parse({ kind: 'auto', ...scale, ...(maxP99Ms === undefined ? {} : { maxP99Ms }) }) as AutoScale,
  );
const quiet = fc.constant<Load>({ outstanding: 0, p99Ms: undefined, requests: 0 });
const busy = fc.record({
  outstanding: fc.nat(60),
  p99Ms: fc.option(fc.integer({ min: 1, max: 200 }), { nil: undefined }),
  requests: fc.nat(50),
});
const looks = fc.array(fc.tuple(fc.integer({ min: 1, max: 120_000 }), fc.oneof(quiet, busy)), { maxLength: 60 });

/** Replicas after each look. */
function play(scale: AutoScale, history: readonly (readonly [number, Load])[]): { atMs: number; replicas: number }[] {
  let memory = firstScale(scale, 0);
  let atMs = 0;
  return history.map(([ms, load]) => {
    atMs += ms;
    memory = autoscale(scale, memory, load, atMs);
    expect(memory.asked.length).toBeLessThanOrEqual(Math.max(scale.max, scale.min) + 1);
    return { atMs, replicas: replicasOf(scale, memory, atMs) };
  });
}

describe('the number of replicas', () => {
  it('is from min to max, and enough for what is outstanding', () => {
    fc.assert(
      fc.property(scales, looks, (scale, history) => {
        for (const [index, { replicas }] of play(scale, history).entries()) {
          const { outstanding = 0 } = history[index]?.[1] ?? {};
          const most = Math.max(scale.min, scale.max);
          expect(replicas).toBeGreaterThanOrEqual(scale.min);
          expect(replicas).toBeLessThanOrEqual(most);
          expect(replicas).toBeGreaterThanOrEqual(Math.min(most, Math.ceil(outstanding / scale.targetOutstanding)));
        }
      }),
    );
  });

  it('never goes down within a cool-down after it went up', () => {
    fc.assert(
      fc.property(scales, looks, (scale, history) => {
        let before = { atMs: 0, replicas: replicasOf(scale, firstScale(scale, 0), 0) };
        let upAtMs = 0;
        for (const now of play(scale, history)) {
          if (now.replicas > before.replicas) upAtMs = now.atMs;
          if (now.replicas < before.replicas) {
            expect(now.atMs - upAtMs).toBeGreaterThanOrEqual(scale.coolDownSeconds * 1000);
          }
          before = now;
        }
      }),
    );
  });

  it('is never less for more load, where latency has no say', () => {
    const more = fc.array(fc.nat(20), { minLength: 60, maxLength: 60 });
    fc.assert(
      fc.property(scales, looks, more, ({ maxP99Ms: _none, ...scale }, history, extra) => {
        const heavier = history.map(
          ([ms, load], index) => [ms, { ...load, outstanding: load.outstanding + (extra[index] ?? 0) }] as const,
        );
        const light = play(scale, history);
        for (const [index, { replicas }] of play(scale, heavier).entries()) {
          expect(replicas).toBeGreaterThanOrEqual(light[index]?.replicas ?? 0);
        }
      }),
    );
  });

  it('is zero only when nothing was asked for a whole cool-down', () => {
    fc.assert(
      fc.property(scales, looks, (scale, history) => {
        let lastUseMs = 0;
        for (const [index, { atMs, replicas }] of play(scale, history).entries()) {
          const { outstanding = 0, requests = 0 } = history[index]?.[1] ?? {};
          if (outstanding > 0 || requests > 0) lastUseMs = atMs;
          if (replicas === 0) expect(atMs - lastUseMs).toBeGreaterThanOrEqual(scale.coolDownSeconds * 1000);
        }
      }),
    );
  });

  it('is one more, and no more than that a minute, while latency is above the bound', () => {
    const scale = scaleSchema.parse({ kind: 'auto', min: 1, max: 5, maxP99Ms: 100 }) as AutoScale;
    const slow: Load = { outstanding: 1, p99Ms: 150, requests: 1 };
    const history = Array.from({ length: 7 }, () => [30_000, slow] as const);
    expect(play(scale, history).map(({ replicas }) => replicas)).toEqual([2, 2, 3, 3, 4, 4, 5]);
  });

  it('wakes from zero with the first request that waits', () => {
    const scale = scaleSchema.parse({ kind: 'auto', min: 0, max: 5, coolDownSeconds: 60 }) as AutoScale;
    const idle: Load = { outstanding: 0, p99Ms: undefined, requests: 0 };
    const history = [
      [30_000, idle],
      [30_000, idle],
      [30_000, { ...idle, requests: 1 }],
    ] as const;
    expect(play(scale, history).map(({ replicas }) => replicas)).toEqual([1, 0, 1]);
  });
});
