/** The order in which points of a story are tried. */
import { shuffled } from '../chaos/chaos.js';

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
