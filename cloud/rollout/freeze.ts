/** Times in which rollouts ask nobody for anything new. Instants are milliseconds since the epoch. Pure. */
import type { RolloutPolicy } from './policy.js';
import type { RolloutDevice } from './rollout-model.js';

export interface Freeze {
  /** For people. */
  readonly name: string;
  readonly from: number;
  readonly until: number;
  /** Whom it holds; absent: all. */
  readonly devices?: ReadonlySet<string> | undefined;
}

export function freezesOf({ freeze }: Pick<RolloutPolicy, 'freeze'>): Freeze[] {
  return (freeze ?? []).map(({ from, until, reason }) => ({
    name: reason ?? 'its policy',
    from: Date.parse(from),
    until: Date.parse(until),
  }));
}

/** @returns the devices, with the freeze that holds them longest now where one does */
export function withFreezes(
  devices: readonly RolloutDevice[],
  freezes: readonly Freeze[],
  now: number,
): readonly RolloutDevice[] {
  const current = freezes
    .filter(({ from, until }) => from <= now && now < until)
    .sort((a, b) => b.until - a.until || (a.name < b.name ? -1 : 1));
  if (current.length === 0) return devices;
  return devices.map((one) => {
    const frozen = current.find(({ devices: held }) => held === undefined || held.has(one.device));
    return frozen === undefined ? one : { ...one, frozen: { name: frozen.name, until: frozen.until } };
  });
}

/** How much of a time was frozen, for anybody: it counts for no deadline of the whole. */
export function frozenMs(freezes: readonly Freeze[], from: number, to: number): number {
  let counted = from;
  let sum = 0;
  for (const freeze of [...freezes].sort((a, b) => a.from - b.from)) {
    const begins = Math.max(counted, freeze.from);
    const ends = Math.min(to, freeze.until);
    if (ends <= begins) continue;
    sum += ends - begins;
    counted = ends;
  }
  return sum;
}
