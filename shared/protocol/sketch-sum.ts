/** Many encoded sketches as one: what a store adds up, without a map for each of them. */
import { bucketsIn, type EncodedSketch } from './sketch.js';
import { type BucketPairs, joinBuckets, writeBuckets } from './sketch-bytes.js';

export class SketchSum {
  private count = 0;
  private sum = 0;
  private min: number | null = null;
  private max: number | null = null;
  private buckets: BucketPairs = [];

  /** What is no sketch adds nothing. */
  add(encoded: EncodedSketch): void {
    const buckets = bucketsIn(encoded);
    if (buckets !== undefined) this.addRead(encoded, buckets);
  }

  /** @param buckets those of the sketch, as {@link bucketsIn} has them */
  addRead({ count, sum, min, max }: EncodedSketch, buckets: BucketPairs): void {
    this.count += count;
    this.sum += sum;
    if (min !== null && (this.min === null || min < this.min)) this.min = min;
    if (max !== null && (this.max === null || max > this.max)) this.max = max;
    this.buckets = this.buckets.length === 0 ? buckets : joinBuckets(this.buckets, buckets);
  }

  encoded(): EncodedSketch {
    const { count, sum, min, max, buckets } = this;
    return { count, sum, min, max, buckets: writeBuckets(buckets) };
  }
}
