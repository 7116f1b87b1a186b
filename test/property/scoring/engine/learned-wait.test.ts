import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LearnedWait } from '#shared/scoring/engine/learned-wait.js';

const ms = fc.double({ min: 0.01, max: 50, noNaN: true });

function learned(fixedMs: number, eachMs: number, gapMs: number): LearnedWait {
  const wait = new LearnedWait();
  for (let run = 0; run < 40; run++) {
    const rows = 1 + (run % 8);
    wait.ran(rows, fixedMs + eachMs * rows);
    wait.arrived(run * gapMs);
  }
  return wait;
}

describe('a learned wait', () => {
  it('finds the fixed part of what runs cost', () => {
    fc.assert(
      fc.property(ms, ms, (fixedMs, eachMs) => {
        expect(learned(fixedMs, eachMs, 1).fixedMs).toBeCloseTo(fixedMs, 3);
      }),
    );
  });

  it('never waits longer than allowed, nor where a row comes too late to pay', () => {
    fc.assert(
      fc.property(ms, ms, ms, fc.integer({ min: 1, max: 64 }), ms, ms, (fixed, each, gap, rows, waited, most) => {
        const wait = learned(fixed, each, gap);
        const forMs = wait.wait(rows, waited, most);
        expect(forMs).toBeGreaterThanOrEqual(0);
        expect(forMs).toBeLessThanOrEqual(Math.max(0, most - waited));
        if (gap * rows > fixed * 1.01) expect(forMs).toBe(0);
      }),
    );
  });

  it('waits where many rows come quickly and a run has a large fixed part', () => {
    expect(learned(10, 0.1, 0.5).wait(4, 0, 5)).toBeGreaterThan(0);
  });

  it('does not wait before it has learned anything', () => {
    expect(new LearnedWait().wait(1, 0, 100)).toBe(0);
  });
});
