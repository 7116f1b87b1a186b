/** Many encoded summaries of one tensor as one, added as {@link mergeSummary} adds. */
import { bucketsIn } from './sketch.js';
import { SketchSum } from './sketch-sum.js';
import { type CategorySummary, countCategory, encodeSummary, type EncodedSummary } from './summary.js';

type EncodedNumbers = Extract<EncodedSummary, { kind: 'numbers' }>;
type EncodedCategories = Extract<EncodedSummary, { kind: 'categories' }>;

export type SummarySum = NumbersSum | CategoriesSum;

/** Of two kinds, which a module's next version may have, the first stays; undefined where nothing was a summary yet. */
export function addToSummarySum(into: SummarySum | undefined, encoded: EncodedSummary): SummarySum | undefined {
  if (encoded.kind === 'numbers') {
    if (into instanceof CategoriesSum) return into;
    const sum = into ?? new NumbersSum();
    return sum.add(encoded) ? sum : into;
  }
  if (into instanceof NumbersSum) return into;
  const sum = into ?? new CategoriesSum();
  sum.add(encoded);
  return sum;
}

class NumbersSum {
  private readonly counts = { missing: 0, nan: 0, infinite: 0, sum: 0 };
  private min: number | null = null;
  private max: number | null = null;
  private readonly positive = new SketchSum();
  private readonly negative = new SketchSum();

  /** False where a sketch of it is none: then nothing of it counts. */
  add(encoded: EncodedNumbers): boolean {
    const [positive, negative] = [bucketsIn(encoded.positive), bucketsIn(encoded.negative)];
    if (positive === undefined || negative === undefined) return false;
    const { counts } = this;
    counts.missing += encoded.missing;
    counts.nan += encoded.nan;
    counts.infinite += encoded.infinite;
    counts.sum += encoded.sum;
    const { min, max } = encoded;
    if (min !== null && (this.min === null || min < this.min)) this.min = min;
    if (max !== null && (this.max === null || max > this.max)) this.max = max;
    this.positive.addRead(encoded.positive, positive);
    this.negative.addRead(encoded.negative, negative);
    return true;
  }

  encoded(): EncodedSummary {
    const { counts, min, max, positive, negative } = this;
    return { kind: 'numbers', ...counts, min, max, positive: positive.encoded(), negative: negative.encoded() };
  }
}

class CategoriesSum {
  private readonly summary: CategorySummary = { kind: 'categories', missing: 0, counts: new Map(), other: 0 };

  add({ missing, counts, other }: EncodedCategories): void {
    this.summary.missing += missing;
    this.summary.other += other;
    for (const text of Object.keys(counts)) countCategory(this.summary, text, counts[text] ?? 0);
  }

  encoded(): EncodedSummary {
    return encodeSummary(this.summary);
  }
}
