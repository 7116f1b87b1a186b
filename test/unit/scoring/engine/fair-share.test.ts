import { describe, expect, it } from 'vitest';
import { FairShare } from '#shared/scoring/engine/fair-share.js';

/** Runs `count` turns among models that always have work; how often each had its turn. */
function turns(
  fair: FairShare,
  models: readonly { share: { had: number }; costMs: number }[],
  count: number,
): number[] {
  const had = models.map(() => 0);
  for (let turn = 0; turn < count; turn++) {
    const next = fair.pick(models);
    if (!next) throw new Error('nobody was picked');
    fair.charge(next.share, next.costMs);
    const index = models.indexOf(next);
    had[index] = (had[index] ?? 0) + 1;
  }
  return had;
}

describe('models that share the cores', () => {
  it('get equal time, not equal turns', () => {
    const fair = new FairShare();
    const models = [
      { share: fair.join(), costMs: 10 },
      { share: fair.join(), costMs: 1 },
    ];
    const [slow = 0, quick = 0] = turns(fair, models, 1100);
    expect(slow * 10).toBeGreaterThan(quick - 20);
    expect(slow * 10).toBeLessThan(quick + 20);
  });

  it('save nothing up while they have no work', () => {
    const fair = new FairShare();
    const busy = { share: fair.join(), costMs: 1 };
    const sleeper = { share: fair.join(), costMs: 1 };
    turns(fair, [busy], 1000);
    fair.wake(sleeper.share);
    const [first = 0, second = 0] = turns(fair, [busy, sleeper], 100);
    expect(Math.abs(first - second)).toBeLessThanOrEqual(2);
  });

  it('are none when nobody waits', () => {
    expect(new FairShare().pick([])).toBeUndefined();
  });
});
