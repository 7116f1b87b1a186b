/** The lines of a soak, one a minute. Pure. */
import type { ProcessSize } from '../process-cost.js';
import type { Counts } from './mixed-load.js';

const columns = [
  ['min', 4],
  ['scored', 7],
  ['refused', 7],
  ['gone', 5],
  ['unloaded', 8],
  ['UNEXPECTED', 10],
  ['p50 ms', 7],
  ['p99 ms', 7],
  ['RSS MiB', 7],
  ['Pss MiB', 7],
  ['fds', 4],
  ['threads', 7],
  ['owner fds', 9],
] as const;

export const minuteHeader: readonly string[] = [...columns.map(([title, width]) => title.padStart(width)), 'event'];

export function minuteCells(
  minute: number,
  counts: Counts,
  size: ProcessSize | undefined,
  owner: ProcessSize | undefined,
  event: string,
): readonly string[] {
  const { scored, refused, abandoned, unloaded, unexpected, latency } = counts;
  const cells = [
    String(minute),
    String(scored),
    String(refused),
    String(abandoned),
    String(unloaded),
    String(unexpected.length),
    latency.percentile(0.5)?.toFixed(2) ?? '-',
    latency.percentile(0.99)?.toFixed(2) ?? '-',
    mib(size?.rssBytes),
    mib(size?.pssBytes),
    String(size?.descriptors ?? '-'),
    String(size?.threads ?? '-'),
    String(owner?.descriptors ?? '-'),
  ];
  return [...cells.map((cell, index) => cell.padStart(columns[index]?.[1] ?? 0)), event];
}

function mib(bytes: number | undefined): string {
  return bytes === undefined ? '-' : (bytes / 1024 ** 2).toFixed(0);
}

/** Numbers of [0, 1), the same on every run. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
