/** How long answers took, in buckets 0.3 % wide: rounds can be added up, and a process can send it as JSON. */

const bucketsPerOctave = 256;
const microsPerMs = 1000;

export type EncodedHistogram = readonly (readonly [bucket: number, count: number])[];

export class LatencyHistogram {
  private readonly counts = new Map<number, number>();
  private total = 0;

  static of(encoded: readonly EncodedHistogram[]): LatencyHistogram {
    const sum = new LatencyHistogram();
    for (const [bucket, count] of encoded.flat()) sum.put(bucket, count);
    return sum;
  }

  get count(): number {
    return this.total;
  }

  add(ms: number): void {
    this.put(Math.round(Math.log2(Math.max(ms * microsPerMs, 1)) * bucketsPerOctave), 1);
  }

  /** In ms; undefined where too few were seen to say (fewer than one lies above it). */
  percentile(share: number): number | undefined {
    // A sum of floats such as 1 - 0.99 must not lose the hundredth answer.
    if (this.total * (1 - share) < 1 - 1e-9) return undefined;
    let left = Math.ceil(this.total * share);
    for (const [bucket, count] of this.encode()) {
      left -= count;
      if (left <= 0) return 2 ** (bucket / bucketsPerOctave) / microsPerMs;
    }
    return undefined;
  }

  encode(): EncodedHistogram {
    return [...this.counts].sort(([one], [other]) => one - other);
  }

  private put(bucket: number, count: number): void {
    this.counts.set(bucket, (this.counts.get(bucket) ?? 0) + count);
    this.total += count;
  }
}
