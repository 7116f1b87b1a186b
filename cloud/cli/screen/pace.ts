/** How fast a rollout goes, and when it would be done at that rate. Pure. */
import type { HistoryBody, RolloutBody } from '#cloud/http/schemas/rollouts.js';

/** How devices stand that have nothing more before them. */
const ended = ['succeeded', 'failed', 'unreachable', 'overtaken', 'gone', 'left', 'cancelled', 'returned'] as const;
const endedKinds: readonly string[] = [...ended, 'return-failed'];

const recentMs = 10 * 60_000;
/** Two devices that end in one second say nothing of a minute. */
const leastSpanMs = 10_000;

export interface Pace {
  readonly devices: number;
  readonly done: number;
  /** Devices a minute, of late; absent while none has ended of late. */
  readonly perMinute?: number;
  /** At that rate, without bake times and approvals; absent where nothing is left or nothing moves. */
  readonly leftMs?: number;
}

/** @param history its newest entries, newest first; all of it, or the newest part */
export function paceOf({ waves, state }: RolloutBody, history: readonly HistoryBody[], now: number): Pace {
  let devices = 0;
  let done = 0;
  for (const { standings } of waves) {
    for (const [standing, count] of Object.entries(standings)) {
      devices += count;
      if (endedKinds.includes(standing)) done += count;
    }
  }
  const counted = { devices, done };
  if (state !== 'running') return counted;
  const times = history
    .filter(({ device, kind }) => device !== undefined && endedKinds.includes(kind))
    .map(({ at }) => Date.parse(at))
    .filter((at) => at > now - recentMs);
  const first = history.at(-1);
  if (times.length === 0 || first === undefined) return counted;
  const spanMs = Math.max(leastSpanMs, Math.min(recentMs, now - Date.parse(first.at)));
  const perMinute = (times.length * 60_000) / spanMs;
  const left = devices - done;
  return { ...counted, perMinute, ...(left === 0 ? {} : { leftMs: (left / perMinute) * 60_000 }) };
}

/** `45s`, `12m`, `1h 05m`, `2d 3h`: as much as a person wants to know. */
export function formatSpan(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${String(seconds)}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return `${String(minutes)}m ${String(seconds % 60).padStart(2, '0')}s`;
  if (minutes < 60) return `${String(minutes)}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${String(hours)}h ${String(minutes % 60).padStart(2, '0')}m`;
  return `${String(Math.floor(hours / 24))}d ${String(hours % 24)}h`;
}
