import { describe, expect, it } from 'vitest';
import { isRenewalDue, type RenewalView, retryMs, strangerMs } from '#agent/identity/renewal-plan.js';

const day = 86_400_000;
const quiet: RenewalView = {
  notBefore: 0,
  notAfter: 90 * day,
  jitter: 0,
  now: 0,
  disconnectedMs: 0,
  sinceTryMs: undefined,
  outdated: false,
  lastTry: undefined,
};
const due = (change: Partial<RenewalView>): boolean => isRenewalDue({ ...quiet, ...change });

describe('renewal of a certificate', () => {
  it('is due at two thirds of its life, spread by the jitter', () => {
    expect(due({ now: 60 * day - 1 })).toBe(false);
    expect(due({ now: 60 * day })).toBe(true);
    expect(due({ now: 60 * day, jitter: 1 })).toBe(false);
    expect(due({ now: 64.5 * day, jitter: 1 })).toBe(true);
  });

  it('is due long after its end', () => {
    expect(due({ now: 900 * day })).toBe(true);
  });

  it('is tried again after an hour where it failed, and not for a third of its life where it did not', () => {
    const ended = { now: 900 * day };
    expect(due({ ...ended, lastTry: 'failed', sinceTryMs: retryMs - 1 })).toBe(false);
    expect(due({ ...ended, lastTry: 'failed', sinceTryMs: retryMs })).toBe(true);
    expect(due({ ...ended, lastTry: 'renewed', sinceTryMs: 29 * day })).toBe(false);
    expect(due({ ...ended, lastTry: 'renewed', sinceTryMs: 30 * day })).toBe(true);
  });

  it('is due at once where its authority is being replaced, and then no more often than else', () => {
    expect(due({ outdated: true, jitter: 1 })).toBe(true);
    expect(due({ outdated: true, lastTry: 'failed', sinceTryMs: retryMs - 1 })).toBe(false);
    expect(due({ outdated: true, lastTry: 'renewed', sinceTryMs: 29 * day })).toBe(false);
  });

  it('is tried where the broker lets nobody in for long, as it may have forgotten the certificate', () => {
    expect(due({ disconnectedMs: strangerMs - 1 })).toBe(false);
    expect(due({ disconnectedMs: strangerMs })).toBe(true);
    expect(due({ disconnectedMs: 100 * strangerMs, lastTry: 'failed', sinceTryMs: 1 })).toBe(false);
  });
});
