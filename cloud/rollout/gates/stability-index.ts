/**
 * The population stability index: how far two distributions over the same bins are apart. 0 is alike; by custom below
 * 0.1 is no change, above 0.25 a large one. Pure.
 */
import { chiSquareQuantile } from './chi-square.js';

/** A bin that one of them does not have counts as half an element there, so that the index stays finite. */
const half = 0.5;

/** @param counts of the same bins; the order of the two does not matter */
export function stabilityIndex(one: readonly number[], other: readonly number[]): number {
  const bins = Math.max(one.length, other.length);
  const [ones, others] = [sharesOf(one, bins), sharesOf(other, bins)];
  let index = 0;
  for (let bin = 0; bin < bins; bin++) {
    const [p, q] = [ones[bin] ?? 0, others[bin] ?? 0];
    if (p > 0 && q > 0) index += (p - q) * Math.log(p / q);
  }
  return index;
}

function sharesOf(counts: readonly number[], bins: number): number[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return Array.from({ length: bins }, (_, bin) => ((counts[bin] ?? 0) + half) / (total + half * bins));
}

/**
 * What chance alone makes of the index between two samples of one distribution, at most, with this confidence: such an
 * index over `1/n + 1/m` is distributed as chi-square.
 */
export function indexOfChance(bins: number, samples: number, others: number, confidence: number): number {
  if (samples === 0 || others === 0) return Number.POSITIVE_INFINITY;
  return chiSquareQuantile(confidence, bins - 1) * (1 / samples + 1 / others);
}

/** Samples from which on chance makes less than `bound`; undefined: the others are too few for any number. */
export function samplesToTell(bins: number, others: number, bound: number, confidence: number): number | undefined {
  const room = bound / chiSquareQuantile(confidence, bins - 1) - 1 / others;
  return room > 0 ? Math.ceil(1 / room) : undefined;
}
