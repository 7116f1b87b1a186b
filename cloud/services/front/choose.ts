/** Which replica answers, and whether a request may wait for one. Pure. */

export interface Candidate {
  readonly outstanding: number;
}

/**
 * The one with the fewest under way that has room. Of equals the next in turn, so that idle ones share.
 *
 * @param max under way in one at once
 * @param turn rises with each choice
 */
export function leastOutstanding<T extends Candidate>(
  candidates: readonly T[],
  max: number,
  turn: number,
): T | undefined {
  let best: T | undefined;
  for (let index = 0; index < candidates.length; index++) {
    const candidate = candidates[(index + turn) % candidates.length];
    if (candidate === undefined || candidate.outstanding >= max) continue;
    if (best === undefined || candidate.outstanding < best.outstanding) best = candidate;
  }
  return best;
}

/** How many wait for the first replica of a deployment that has none. */
export const roomAtZero = 100;

export interface Crowd {
  readonly replicas: number;
  readonly maxConcurrentPerReplica: number;
  /** A replica has room. */
  readonly free: boolean;
  readonly waiting: number;
  /** A first replica is started for who asks. */
  readonly scalesFromZero: boolean;
}

/** `absent`: nobody answers, and nobody is started for it. */
export type Admission = 'go' | 'wait' | 'full' | 'absent';

/** As many wait as may be under way (Azure: more than twice the concurrency is refused); first come, first served. */
export function admissionOf({ replicas, maxConcurrentPerReplica, free, waiting, scalesFromZero }: Crowd): Admission {
  if (replicas === 0) {
    if (!scalesFromZero) return 'absent';
    return waiting < roomAtZero ? 'wait' : 'full';
  }
  if (free && waiting === 0) return 'go';
  return waiting < replicas * maxConcurrentPerReplica ? 'wait' : 'full';
}
