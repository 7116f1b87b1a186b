/** How traffic is divided while one deployment takes it over. Pure. */
import type { Traffic } from '../control/endpoint-model.js';

/**
 * The target gets so many percent; the others share the rest as they shared the whole before, to whole percent by
 * largest remainders.
 *
 * @param before adds up to 100
 * @returns adds up to 100, without zeros
 */
export function weightsAt(before: Traffic, target: string, percent: number): Traffic {
  const others = Object.entries(before).filter(([name, weight]) => name !== target && weight > 0);
  const sum = others.reduce((total, [, weight]) => total + weight, 0);
  const rest = sum === 0 ? 0 : 100 - percent;
  const shares = others
    .map(([name, weight]) => ({ name, exact: (rest * weight) / sum }))
    .sort((a, b) => (b.exact % 1) - (a.exact % 1) || (a.name < b.name ? -1 : 1));
  let left = rest - shares.reduce((total, { exact }) => total + Math.floor(exact), 0);
  const weights: [string, number][] = [[target, 100 - rest]];
  for (const { name, exact } of shares) {
    weights.push([name, Math.floor(exact) + (left > 0 ? 1 : 0)]);
    left -= 1;
  }
  return Object.fromEntries(weights.filter(([, weight]) => weight > 0).sort(([a], [b]) => (a < b ? -1 : 1)));
}
