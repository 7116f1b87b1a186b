/**
 * The time that expiry and deadlines are judged by: the last signed time that was verified, plus what
 * the monotonic clock counted since. It is a lower bound of the true time, whatever the wall clock
 * says, and it never goes back.
 */
export interface TimeAnchor {
  /** Milliseconds since the Unix epoch, as a verified signature said. */
  readonly signedAt: number;
  /** The monotonic clock in that moment. */
  readonly monotonicAt: number;
}

/** Without an anchor nothing is known, and everything is still in time. */
export function trustedNow(anchor: TimeAnchor | undefined, monotonic: number): number {
  if (anchor === undefined) return Number.NEGATIVE_INFINITY;
  return anchor.signedAt + Math.max(0, monotonic - anchor.monotonicAt);
}

/** Takes a newly verified time where it says more than is known. */
export function advanceAnchor(anchor: TimeAnchor | undefined, signedAt: number, monotonic: number): TimeAnchor {
  if (anchor !== undefined && trustedNow(anchor, monotonic) >= signedAt) return anchor;
  return { signedAt, monotonicAt: monotonic };
}
