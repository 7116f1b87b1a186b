/**
 * How many cores this process may keep busy. Node counts those it may run on (affinity), not the share of
 * them that a container's CPU limit leaves it: with a quota of 2 on a machine of 64 it would start 64
 * workers, and all of them would be stopped for most of every period.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { posix } from 'node:path';

/** Content of a file; undefined where there is none that can be read. */
export type ReadText = (path: string) => string | undefined;

export function usableCores(): number {
  return coresWithin(availableParallelism(), readText);
}

/** Whole cores of the quota, at least 1: a worker more than it has is stopped in the middle of its runs. */
export function coresWithin(parallelism: number, read: ReadText): number {
  const quota = cpuQuota(read) ?? parallelism;
  return Math.max(1, Math.min(parallelism, Math.floor(quota)));
}

/** The tightest CPU limit above this process, in cores; undefined where there is none. */
export function cpuQuota(read: ReadText): number | undefined {
  const quotas = (read('/proc/self/cgroup') ?? '').split('\n').flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) return [];
    if (controllers === '') return quotasUpwards('/sys/fs/cgroup', path, (group) => unifiedQuota(group, read));
    if (!controllers.split(',').includes('cpu')) return [];
    // Mounted under the names of all its controllers, with a link from each name.
    return quotasUpwards('/sys/fs/cgroup/cpu', path, (group) => legacyQuota(group, read));
  });
  return quotas.length === 0 ? undefined : Math.min(...quotas);
}

/**
 * A limit holds for all groups below. In a container the path may be the one that the machine knows,
 * while only the container's own group is mounted, as the root: that is asked last.
 */
function quotasUpwards(root: string, path: string, quotaOf: (group: string) => number | undefined): number[] {
  const found: number[] = [];
  // Out of sight of a container's namespace, the kernel writes the path with "..".
  for (let at = posix.normalize(path); ; at = posix.dirname(at)) {
    const quota = quotaOf(posix.join(root, at));
    if (quota !== undefined) found.push(quota);
    if (at === '/') return found;
  }
}

/** cgroup 2: `cpu.max` is "quota period" in microseconds, or "max period". */
function unifiedQuota(group: string, read: ReadText): number | undefined {
  const [quota, period] = (read(posix.join(group, 'cpu.max')) ?? '').trim().split(/\s+/);
  return ratio(quota, period);
}

/** cgroup 1: the quota is -1 where there is none. */
function legacyQuota(group: string, read: ReadText): number | undefined {
  const textIn = (file: string): string | undefined => read(posix.join(group, file))?.trim();
  return ratio(textIn('cpu.cfs_quota_us'), textIn('cpu.cfs_period_us'));
}

function ratio(quota: string | undefined, period: string | undefined): number | undefined {
  const cores = Number(quota) / Number(period);
  return Number.isFinite(cores) && cores > 0 ? cores : undefined;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // No Linux, no cgroups, or not for us to read.
    return undefined;
  }
}
