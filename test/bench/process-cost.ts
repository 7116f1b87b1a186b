/** What processes cost, as Linux tells it in /proc. Elsewhere nothing is known, and said so. */
import { readdirSync, readFileSync } from 'node:fs';

const tickMs = 10;
const kib = 1024;

/** The process and all that it started, itself first. */
export function processTree(root: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const name of entries('/proc')) {
    const pid = Number(name);
    const parent = Number(statFields(pid)[1]);
    if (Number.isSafeInteger(pid)) children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

/** CPU time so far; undefined where nothing tells. */
export function cpuMsOf(pids: readonly number[]): number | undefined {
  const times = pids.map(statFields).filter((fields) => fields.length > 12);
  return times.length === 0
    ? undefined
    : sum(times.map((fields) => (Number(fields[11]) + Number(fields[12])) * tickMs));
}

export interface ProcessSize {
  /** Shared pages count in shares: the sum over processes is what they take together. */
  readonly pssBytes: number;
  readonly rssBytes: number;
  readonly threads: number;
  readonly descriptors: number;
}

export function sizeOf(pids: readonly number[]): ProcessSize | undefined {
  const sizes = pids.flatMap((pid) => {
    const rollup = text(`/proc/${String(pid)}/smaps_rollup`);
    if (rollup === '') return [];
    return {
      pssBytes: kilobytes(rollup, 'Pss'),
      rssBytes: kilobytes(rollup, 'Rss'),
      threads: entries(`/proc/${String(pid)}/task`).length,
      descriptors: entries(`/proc/${String(pid)}/fd`).length,
    };
  });
  if (sizes.length === 0) return undefined;
  return {
    pssBytes: sum(sizes.map(({ pssBytes }) => pssBytes)),
    rssBytes: sum(sizes.map(({ rssBytes }) => rssBytes)),
    threads: sum(sizes.map(({ threads }) => threads)),
    descriptors: sum(sizes.map(({ descriptors }) => descriptors)),
  };
}

function kilobytes(rollup: string, name: string): number {
  return Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(rollup)?.[1] ?? 0) * kib;
}

/** Of /proc/…/stat, from the state on: 0 state, 1 parent, 11 and 12 user and system time. */
function statFields(pid: number): readonly string[] {
  const stat = text(`/proc/${String(pid)}/stat`);
  return stat === '' ? [] : stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** Empty where there is no such process (any more). */
function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function entries(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
