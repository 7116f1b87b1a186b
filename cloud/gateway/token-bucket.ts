/** A small token bucket per address: so many at once, so many a second after that. */
export interface BucketLimits {
  readonly burst: number;
  readonly perSecond: number;
  /** Addresses remembered; the one unheard of for longest is forgotten first, which only ever helps it. */
  readonly maxAddresses: number;
}

interface Bucket {
  readonly tokens: number;
  readonly atMs: number;
}

export class TokenBuckets {
  private readonly buckets = new Map<string, Bucket>();

  constructor(private readonly limits: BucketLimits) {}

  /**
   * @param nowMs monotonic
   * @returns 0 when it may go on, else milliseconds until it may
   */
  take(address: string, nowMs: number): number {
    const { burst, perSecond, maxAddresses } = this.limits;
    const bucket = this.buckets.get(address) ?? { tokens: burst, atMs: nowMs };
    const tokens = Math.min(burst, bucket.tokens + (Math.max(0, nowMs - bucket.atMs) / 1000) * perSecond);
    const enough = tokens >= 1;
    this.buckets.delete(address);
    this.buckets.set(address, { tokens: enough ? tokens - 1 : tokens, atMs: nowMs });
    if (this.buckets.size > maxAddresses) {
      const [oldest] = this.buckets.keys();
      if (oldest !== undefined) this.buckets.delete(oldest);
    }
    return enough ? 0 : Math.ceil(((1 - tokens) / perSecond) * 1000);
  }

  /** What was taken was not deserved. */
  giveBack(address: string): void {
    const bucket = this.buckets.get(address);
    if (bucket) this.buckets.set(address, { ...bucket, tokens: Math.min(this.limits.burst, bucket.tokens + 1) });
  }
}
