/** Which device has its turn when. Decided once, when a rollout starts. Pure. */
import { inOrder } from './order.js';
import type { RolloutPolicy, WaveSize } from './policy.js';

export interface WaveCandidate {
  readonly device: string;
  /** Found by the first wave's query. */
  readonly canary: boolean;
}

/** So many waves a policy has: its own, and one for what they leave. */
export function waveCount({ waves }: Pick<RolloutPolicy, 'waves'>): number {
  return waves.length + 1;
}

/** @returns one list of devices a wave, the last one with what the others leave; lists may be empty */
export function divideIntoWaves(
  rollout: string,
  policy: Pick<RolloutPolicy, 'waves'>,
  candidates: readonly WaveCandidate[],
): string[][] {
  const ordered = inOrder(rollout, candidates);
  let left = ordered;
  const waves = policy.waves.map((wave) => {
    const { where, percent, count }: WaveSize = wave;
    const taken = ordered.length - left.length;
    // A share of a small fleet is a device at least, if there is one left.
    const upTo = percent === undefined ? taken + (count ?? 0) : Math.ceil((ordered.length * percent) / 100);
    const taking = where === undefined ? left.slice(0, Math.max(0, upTo - taken)) : left.filter(({ canary }) => canary);
    const chosen = new Set(taking);
    left = left.filter((one) => !chosen.has(one));
    return taking;
  });
  return [...waves, left].map((wave) => wave.map(({ device }) => device));
}
