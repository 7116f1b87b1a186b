/** Who fetches the release's images before it is asked to run them. Pure. */
import type { RolloutPolicy } from './policy.js';
import type { Rollout, RolloutDevice } from './rollout-model.js';

export interface PrefetchRule {
  /** Devices of so many waves after the one whose turn it is; those of that one which still wait always. */
  readonly wavesAhead: number;
  /** So many fetch at once. */
  readonly atOnce: number;
}

const usual: PrefetchRule = { wavesAhead: 1, atOnce: 100 };

/** With windows what waits for one fetches beforehand, or the window would be spent on the download. */
export function prefetchRule({
  prefetch,
  windows,
}: Pick<RolloutPolicy, 'prefetch' | 'windows'>): PrefetchRule | undefined {
  if (prefetch === undefined) return windows === undefined ? undefined : { ...usual, wavesAhead: 0 };
  return prefetch === true ? usual : prefetch;
}

/** @param assigned devices that are asked to run it in this very step */
export function planPrefetch(
  devices: readonly RolloutDevice[],
  { state, wave }: Pick<Rollout, 'state' | 'wave'>,
  policy: RolloutPolicy,
  assigned: ReadonlySet<string>,
): string[] {
  const rule = prefetchRule(policy);
  if (rule === undefined || state !== 'running') return [];
  const waiting = devices.filter(({ standing, touched, online }) => standing === 'queued' && !touched && online);
  const fetching = waiting.filter(({ prefetch }) => prefetch === 'asked').length;
  return waiting
    .filter((one) => one.wave <= wave + rule.wavesAhead && one.prefetch === undefined && one.frozen === undefined)
    .filter(({ device, member, observed }) => member && observed.kind !== 'there' && !assigned.has(device))
    .slice(0, Math.max(0, rule.atOnce - fetching))
    .map(({ device }) => device);
}
