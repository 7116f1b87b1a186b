import { describe, expect, it } from 'vitest';
import { expectedTime, leftOut, median } from '#cloud/rollout/expected-time.js';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';

describe('the expected time of a rollout', () => {
  it('is its waves, so many devices at once, with what they are watched for', () => {
    const policy = rolloutPolicySchema.parse({
      ...{ waves: [{ count: 1, bakeSeconds: 600 }, { percent: 10 }], maxUnavailable: 5 },
    });
    expect(expectedTime([1, 9, 90], policy, 30).seconds).toBe(30 + 600 + 2 * 30 + 18 * 30);
    expect(expectedTime([0, 0, 0], policy, 30).seconds).toBe(0);
  });

  it('is what its rate lets through, where that takes longer', () => {
    const rate = { perMinute: 10, factor: 2, everySucceeded: 30 };
    const policy = rolloutPolicySchema.parse({ waves: [], maxUnavailable: 100, rate });
    // Ten a minute until thirty have succeeded, then twenty.
    expect(expectedTime([70], policy, 30).seconds).toBe(4 * 60 + 30);
  });

  it('says what it leaves out, and measures by the middle one', () => {
    const policy = rolloutPolicySchema.parse({ waves: [{ count: 1, approval: true }] });
    expect(leftOut(policy)).toContain('approvals');
    expect([median([]), median([9]), median([9, 1, 5, 1000])]).toEqual([undefined, 9, 5]);
  });
});
