import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import type { Principal } from '#cloud/auth/principal.js';
import { Revocations } from '#cloud/auth/revocations.js';
import { RequestLimits } from '#cloud/http/request-limits.js';

class StillClock {
  ms = 0;
  now = (): number => this.ms;
  monotonic = (): number => this.ms;
  sleep = (): Promise<void> => Promise.resolve();
}

/** How many of so many calls are let through. */
function passed(count: number, take: () => void): number {
  let through = 0;
  for (let call = 0; call < count; call++) {
    try {
      take();
      through += 1;
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'rate.limited') throw error;
    }
  }
  return through;
}

describe('the limits of the API', () => {
  it('let twice a second of calls through at once, then so many a second, for each token by itself', () => {
    const clock = new StillClock();
    const limits = new RequestLimits(10, clock);
    expect(passed(100, () => limits.takeKnown('token a'))).toBe(20);
    expect(passed(100, () => limits.takeKnown('token b'))).toBe(20);
    clock.ms += 1000;
    expect(passed(100, () => limits.takeKnown('token a'))).toBe(10);
  });

  it('slow down who keeps failing long before who may come in, and say how long to wait', () => {
    const clock = new StillClock();
    const limits = new RequestLimits(200, clock);
    expect(passed(500, () => limits.takeFailed('10.0.0.1'))).toBe(100);
    clock.ms += 10_000;
    expect(passed(500, () => limits.takeFailed('10.0.0.1'))).toBe(10);
    expect(passed(5, () => limits.takeKnown('token a'))).toBe(5);
    expect(() => limits.takeFailed('10.0.0.1')).toThrow(/wait 1 s/);
  });
});

describe('a revocation', () => {
  const principal = {
    kind: 'token',
    id: 't',
    name: 'n',
    role: 'reader',
    workspace: null,
    expiresAtMs: undefined,
  } as Principal;

  it('ends all that is open under the token once, and nothing that was closed before', () => {
    const revocations = new Revocations();
    const ended: string[] = [];
    revocations.watch(principal, 0, () => ended.push('first'));
    const stop = revocations.watch(principal, 0, () => ended.push('closed'));
    revocations.watch({ ...principal, id: 'u' }, 0, () => ended.push('other'));
    stop();
    revocations.revoke('t');
    revocations.revoke('t');
    expect(ended).toEqual(['first']);
  });
});
