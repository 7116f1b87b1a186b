/** Which points of a story are tried, and in which order. A point is a line: its number, and what it is. */
import { type ChaosBounds, shuffled } from '../chaos/chaos.js';

/** Points of every kind first, so that a sample sees them all: kinds differ in more than numbers and digests. */
export function pointKindsFirst(points: readonly string[], seed: number): string[] {
  const seenKinds = new Set<string>();
  const first: string[] = [];
  const rest: string[] = [];
  for (const point of shuffled(points, seed)) {
    const kind = point.replaceAll(/[0-9a-f]{8}[0-9a-f-]*|\d+/g, '#');
    (seenKinds.has(kind) ? rest : first).push(point);
    seenKinds.add(kind);
  }
  return [...first, ...rest];
}

export function numberOf(point: string): number {
  return Number(point.split(' ')[0]);
}

/**
 * By number, as a story told again has the same number of points, more or less, but not the same ones: all parts
 * together try each number once.
 */
export function pointsOfPart(points: readonly string[], part: ChaosBounds['part']): readonly string[] {
  return part === undefined ? points : points.filter((point) => numberOf(point) % part.of === part.number - 1);
}
