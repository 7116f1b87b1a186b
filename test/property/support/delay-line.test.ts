import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DelayLine } from '../../support/network/delay-line.js';

/** Any link that is not dead slow, and what is sent over it: bytes after a pause. */
const link = fc.record({
  delayMs: fc.integer({ min: 0, max: 600 }),
  jitterMs: fc.integer({ min: 0, max: 100 }),
  bytesPerSecond: fc.integer({ min: 1_000, max: 10_000_000 }),
});
const sendings = fc.array(
  fc.record({ pauseMs: fc.integer({ min: 0, max: 500 }), bytes: fc.integer({ min: 0, max: 65_536 }) }),
  { minLength: 1, maxLength: 20 },
);

describe('one direction of a bad link', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('delivers everything once, in order, never before its delay and the time that its bytes take', () => {
    fc.assert(
      fc.property(
        link,
        sendings,
        fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
        (quality, sent, random) => {
          const line = new DelayLine(
            quality,
            () => random.next().value as number,
            () => Date.now(),
          );
          const arrived: { index: number; at: number }[] = [];
          const earliest: number[] = [];
          let free = 0;
          for (const [index, { pauseMs, bytes }] of sent.entries()) {
            vi.advanceTimersByTime(pauseMs);
            free = Math.max(free, Date.now()) + (bytes / quality.bytesPerSecond) * 1000;
            earliest.push(free + Math.max(0, quality.delayMs - quality.jitterMs));
            line.send(bytes, () => arrived.push({ index, at: Date.now() }));
          }
          vi.runAllTimers();
          expect(arrived.map(({ index }) => index)).toEqual(sent.map((_, index) => index));
          // A timer has whole milliseconds.
          for (const { index, at } of arrived) expect(at).toBeGreaterThanOrEqual((earliest[index] ?? 0) - 1);
        },
      ),
    );
  });

  it('holds what it has while it is closed, and delivers all of it, in order, once it is open', () => {
    fc.assert(
      fc.property(link, sendings, fc.integer({ min: 0, max: 20 }), (quality, sent, closedAt) => {
        const line = new DelayLine(
          quality,
          () => 0.5,
          () => Date.now(),
        );
        const arrived: number[] = [];
        let closedWith = -1;
        for (const [index, { bytes }] of sent.entries()) {
          if (index === closedAt) {
            line.open = false;
            closedWith = arrived.length;
          }
          line.send(bytes, () => arrived.push(index));
          vi.advanceTimersByTime(10);
        }
        vi.runAllTimers();
        if (closedWith >= 0) expect(arrived.length).toBe(closedWith);
        line.open = true;
        vi.runAllTimers();
        expect(arrived).toEqual(sent.map((_, index) => index));
      }),
    );
  });
});
