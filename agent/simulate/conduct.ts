/** How a simulated device behaves: drawn from the seed and its number, so that the same order gives the same fleet. Pure. */
import type { Random } from '#shared/kernel/ids.js';
import type { SimulationGroup, SimulationProfile } from '#shared/protocol/simulation.js';

export type Conduct = Required<
  Pick<SimulationProfile, 'loadSeconds' | 'latencyMs' | 'errorShare' | 'failureShare' | 'rejects' | 'drift'>
>;

/** Mulberry32: small, quick, and the same everywhere. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Of one device, apart from all others of its seed. */
export function deviceRandom(seed: number, number: number): Random {
  const random = seededRandom(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b));
  // The first ones of neighbouring seeds are alike.
  random();
  random();
  return random;
}

/** @param drawn in [0, 1) @returns undefined for a device of none */
export function groupOf({ groups }: Pick<SimulationProfile, 'groups'>, drawn: number): SimulationGroup | undefined {
  let upTo = 0;
  return groups.find(({ percent }) => {
    upTo += percent;
    return drawn * 100 < upTo;
  });
}

/** @param image as it is named in its reference */
export function conductWith(
  profile: SimulationProfile,
  group: SimulationGroup | undefined,
  image: { readonly name: string; readonly version: number },
): Conduct {
  const { loadSeconds, latencyMs, errorShare, failureShare, rejects, drift } = profile;
  const usual: Conduct = { loadSeconds, latencyMs, errorShare, failureShare, rejects, drift };
  const concerned =
    group !== undefined &&
    (group.with === undefined ||
      group.with.some((name) => name === image.name || name === `${image.name}:${String(image.version)}`));
  if (!concerned) return usual;
  return {
    loadSeconds: group.loadSeconds ?? loadSeconds,
    latencyMs: group.latencyMs ?? latencyMs,
    errorShare: group.errorShare ?? errorShare,
    failureShare: group.failureShare ?? failureShare,
    rejects: group.rejects ?? rejects,
    drift: group.drift ?? drift,
  };
}

/** Evenly between the two, in milliseconds. */
export function drawMs([from, to]: readonly [number, number], random: Random): number {
  return (from + (to - from) * random()) * 1000;
}

/** Of the normal distribution with mean 0 and deviation 1. */
export function drawNormal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
