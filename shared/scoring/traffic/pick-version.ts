/**
 * Which version answers a request that names none. Pure: randomness comes in as a number.
 *
 * With a key, the choice is by weighted rendezvous hashing: each version draws a number from the key, and
 * the least of -ln(draw) / weight wins. A key stays with its version while weights stay; when they change,
 * only keys that the change concerns move.
 */
import { createHash } from 'node:crypto';

export interface WeightedVersion {
  readonly version: number;
  readonly weight: number;
}

/** @param random in [0, 1) @returns undefined where nothing has weight */
export function pickByRandom(versions: readonly WeightedVersion[], random: number): number | undefined {
  const weighted = versions.filter(({ weight }) => weight > 0);
  let left = random * weighted.reduce((sum, { weight }) => sum + weight, 0);
  for (const { version, weight } of weighted) {
    left -= weight;
    if (left < 0) return version;
  }
  // Rounding may leave a crumb.
  return weighted.at(-1)?.version;
}

export function pickByKey(versions: readonly WeightedVersion[], key: string): number | undefined {
  let best: { readonly version: number; readonly cost: number } | undefined;
  for (const { version, weight } of versions) {
    if (weight <= 0) continue;
    const cost = -Math.log(drawOf(key, version)) / weight;
    // Weights next to nothing make every cost infinite: then the version decides, not the order.
    const tied = cost === best?.cost && version < best.version;
    if (best === undefined || cost < best.cost || tied) best = { version, cost };
  }
  return best?.version;
}

/** In (0, 1). */
function drawOf(key: string, version: number): number {
  const hash = createHash('sha256')
    .update(`${String(version)}\0${key}`)
    .digest();
  return (hash.readUIntBE(0, 6) + 0.5) / 2 ** 48;
}
