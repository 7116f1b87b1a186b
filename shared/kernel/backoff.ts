export interface BackoffPolicy {
  readonly baseMs: number;
  readonly maxMs: number;
}

/**
 * Exponential backoff with equal jitter: half the delay is certain, so that a retry never comes
 * at once, and half is random, so that a fleet that lost its broker does not return as one.
 *
 * @param attempt failures so far, from 1
 * @param random in [0, 1)
 */
export function backoffMs(attempt: number, policy: BackoffPolicy, random: number): number {
  if (attempt < 1) return 0;
  const ceiling = Math.min(policy.maxMs, policy.baseMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(ceiling / 2 + (ceiling / 2) * random);
}
