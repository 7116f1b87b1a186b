import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { advanceAnchor, type TimeAnchor, trustedNow } from '#agent/reconcile/trusted-time.js';

it('nothing is late while no signed time is known', () => {
  expect(trustedNow(undefined, 5)).toBe(Number.NEGATIVE_INFINITY);
});

it('goes on from the last signed time by the monotonic clock, never back, and never ahead of what was signed', () => {
  const steps = fc.array(fc.record({ pause: fc.nat(1000), signedAt: fc.nat(100_000) }), { minLength: 1 });
  fc.assert(
    fc.property(steps, (entries) => {
      let anchor: TimeAnchor | undefined;
      let monotonic = 0;
      let before = Number.NEGATIVE_INFINITY;
      let bound = 0;
      for (const { pause, signedAt } of entries) {
        monotonic += pause;
        bound = Math.max(bound + pause, signedAt);
        anchor = advanceAnchor(anchor, signedAt, monotonic);
        const now = trustedNow(anchor, monotonic);
        expect(now).toBeGreaterThanOrEqual(before);
        expect(now).toBeGreaterThanOrEqual(signedAt);
        expect(now).toBeLessThanOrEqual(bound);
        before = now;
      }
    }),
  );
});
