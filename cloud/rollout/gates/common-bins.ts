/** Two summaries of a tensor as counts over the same bins, so that they can be compared. Pure. */
import { bucketsOf } from '#shared/protocol/sketch.js';
import type { CategorySummary, NumberSummary, Summary } from '#shared/protocol/summary.js';

/** Numbers are cut where the reference has so many equal parts. */
const parts = 10;

export interface CommonBins {
  readonly reference: readonly number[];
  readonly candidate: readonly number[];
}

/** @returns undefined where one has numbers and the other categories */
export function commonBins(reference: Summary, candidate: Summary): CommonBins | undefined {
  if (reference.kind === 'categories' && candidate.kind === 'categories') return categoryBins(reference, candidate);
  if (reference.kind === 'numbers' && candidate.kind === 'numbers') return numberBins(reference, candidate);
  return undefined;
}

/** A bin for each category that either knows, one for all others, one for what is missing; those that both lack are none. */
function categoryBins(reference: CategorySummary, candidate: CategorySummary): CommonBins {
  const names = [...new Set([...reference.counts.keys(), ...candidate.counts.keys()])].sort();
  const countsOf = ({ counts, other, missing }: CategorySummary): number[] => [
    ...names.map((name) => counts.get(name) ?? 0),
    ...[other, missing],
  ];
  return withoutEmpty({ reference: countsOf(reference), candidate: countsOf(candidate) });
}

/** Below all of the reference, its tenths, above all of it; and one each for what is missing and what is no number. */
function numberBins(reference: NumberSummary, candidate: NumberSummary): CommonBins {
  const [known, seen] = [bySize(reference), bySize(candidate)];
  const sizes = [...new Set([...known.keys(), ...seen.keys()])].sort((a, b) => a - b);
  const total = reference.positive.count + reference.negative.count;
  const [least, greatest] = [sizes.find((size) => known.has(size)), sizes.findLast((size) => known.has(size))];
  const bins: { reference: number[]; candidate: number[] } = { reference: [0], candidate: [0] };
  const begin = (): void => {
    bins.reference.push(0);
    bins.candidate.push(0);
  };
  for (const size of sizes) {
    if (size === least) begin();
    addToLast(bins.reference, known.get(size) ?? 0);
    addToLast(bins.candidate, seen.get(size) ?? 0);
    const isFull = (bins.reference.at(-1) ?? 0) * parts >= total;
    if (known.has(size) && (isFull || size === greatest)) begin();
  }
  bins.reference.push(reference.missing, reference.nan + reference.infinite);
  bins.candidate.push(candidate.missing, candidate.nan + candidate.infinite);
  return withoutEmpty(bins);
}

function bySize({ positive, negative }: NumberSummary): ReadonlyMap<number, number> {
  const sizes = new Map<number, number>();
  for (const { value, count } of bucketsOf(negative)) sizes.set(-value, count);
  for (const { value, count } of bucketsOf(positive)) sizes.set(value, (sizes.get(value) ?? 0) + count);
  return sizes;
}

function addToLast(counts: number[], more: number): void {
  counts.push((counts.pop() ?? 0) + more);
}

function withoutEmpty({ reference, candidate }: CommonBins): CommonBins {
  const kept = reference.flatMap((count, bin) => (count + (candidate[bin] ?? 0) > 0 ? [bin] : []));
  const of = (counts: readonly number[]): number[] => kept.map((bin) => counts[bin] ?? 0);
  return { reference: of(reference), candidate: of(candidate) };
}
