/**
 * How much one caller may ask: by token or person once it is known, by address before. Who keeps failing to come in is
 * slowed down much sooner; who comes in from the same address is not.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { TokenBuckets } from '#cloud/gateway/token-bucket.js';

const maxCallers = 10_000;
/** A program with an old token is told so half as often as one with a good one may call, then hardly any more. */
const failuresAtOnce = 1 / 2;
const failuresSustained = 1 / 200;

export class RequestLimits {
  private readonly known: TokenBuckets;
  private readonly unknown: TokenBuckets;
  private readonly failed: TokenBuckets;

  constructor(
    perSecond: number,
    private readonly clock: Clock,
  ) {
    const limits = { burst: 2 * perSecond, perSecond, maxAddresses: maxCallers };
    this.known = new TokenBuckets(limits);
    this.unknown = new TokenBuckets(limits);
    const failures = { burst: Math.max(5, perSecond * failuresAtOnce), perSecond: perSecond * failuresSustained };
    this.failed = new TokenBuckets({ ...failures, maxAddresses: maxCallers });
  }

  /** @throws AppError `rate.limited` */
  takeKnown(id: string): void {
    this.take(this.known, id, 'too many calls with this token');
  }

  takeUnknown(address: string): void {
    this.take(this.unknown, address, 'too many calls from this address');
  }

  /** Instead of saying once more that a token is wrong. */
  takeFailed(address: string): void {
    this.take(this.failed, address, 'too many calls without a valid token from this address');
  }

  private take(buckets: TokenBuckets, caller: string, what: string): void {
    const waitMs = buckets.take(caller, this.clock.monotonic());
    if (waitMs === 0) return;
    const retryAfterSeconds = Math.ceil(waitMs / 1000);
    throw new AppError('rate.limited', `${what}: wait ${String(retryAfterSeconds)} s, then go on more slowly`, {
      details: { retryAfterSeconds },
    });
  }
}
