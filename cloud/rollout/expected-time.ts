/** How long a rollout takes if nothing goes wrong: an estimate for a dry run, which says what it leaves out. Pure. */
import { type RolloutPolicy, unavailableBudget } from './policy.js';
import { ratePerMinute } from './rate.js';

export interface ExpectedTime {
  readonly seconds: number;
  /** What one device takes, from being asked until it succeeded. */
  readonly deviceSeconds: number;
}

/** @param waves how many devices of each are to change */
export function expectedTime(waves: readonly number[], policy: RolloutPolicy, deviceSeconds: number): ExpectedTime {
  const total = waves.reduce((sum, count) => sum + count, 0);
  const room = unavailableBudget(policy, total);
  let seconds = 0;
  let done = 0;
  for (const [index, count] of waves.entries()) {
    if (count === 0) continue;
    seconds += Math.max(Math.ceil(count / room) * deviceSeconds, pacedSeconds(count, done, policy) + deviceSeconds);
    seconds += policy.waves[index]?.bakeSeconds ?? 0;
    done += count;
  }
  return { seconds: Math.ceil(seconds), deviceSeconds };
}

/** Until the rate has let the last of them through. */
function pacedSeconds(count: number, done: number, { rate }: Pick<RolloutPolicy, 'rate'>): number {
  if (rate === undefined) return 0;
  let left = count;
  let succeeded = done;
  let minutes = 0;
  for (;;) {
    const standing = 'succeeded' as const;
    const allowed = ratePerMinute(
      Array.from({ length: succeeded }, () => ({ standing })),
      rate,
    );
    if (left <= allowed) return minutes * 60;
    left -= allowed;
    succeeded += allowed;
    minutes += 1;
  }
}

/** What the estimate does not count, of what the policy asks for. */
export function leftOut({ waves, windows }: Pick<RolloutPolicy, 'waves' | 'windows'>): string[] {
  return [
    ...(waves.some(({ approval }) => approval) ? ['approvals'] : []),
    ...(windows === undefined ? [] : ['maintenance windows']),
    'freeze periods',
    'retries',
    'devices that are away',
  ];
}

/** @returns undefined of none */
export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}
