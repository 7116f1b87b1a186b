/** Holds the anchor of trusted-time.ts: told of every signed time that was verified. */
import type { Clock } from '#shared/kernel/clock.js';
import { advanceAnchor, type TimeAnchor, trustedNow } from '#agent/reconcile/trusted-time.js';

export class TrustedTime {
  private anchor: TimeAnchor | undefined;

  constructor(private readonly clock: Clock) {}

  verified(signedAt: number): void {
    this.anchor = advanceAnchor(this.anchor, signedAt, this.clock.monotonic());
  }

  now(): number {
    return trustedNow(this.anchor, this.clock.monotonic());
  }
}
