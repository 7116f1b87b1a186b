/** How the kernel says where control groups lie, and how their files are written and read. Pure. */
import { posix } from 'node:path';
import type { SandboxLimits } from './plan-sandbox.js';

export const controllers = ['memory', 'cpu', 'pids'] as const;
export type Controller = (typeof controllers)[number];

export interface GroupPlace {
  readonly version: 1 | 2;
  /** The folder of the control group that this process is in. */
  readonly folder: string;
}

/**
 * Where this process's own groups lie. Controllers of version 1 have a hierarchy each; version 2 has one
 * for all, and lists in a file which of them it has: hybrid machines mount both.
 *
 * @param mounts `/proc/self/mountinfo`
 * @param membership `/proc/self/cgroup`
 */
export function locateGroups(
  mounts: string,
  membership: string,
): { readonly legacy: Partial<Record<Controller, GroupPlace>>; readonly unified: GroupPlace | undefined } {
  const lines = membership.split('\n').flatMap((line) => {
    const [, names, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    return names === undefined || path === undefined ? [] : [{ names: names.split(','), path }];
  });
  const legacy: Partial<Record<Controller, GroupPlace>> = {};
  let unified: GroupPlace | undefined;
  for (const mount of mounts.split('\n').flatMap(groupMount)) {
    if (mount.version === 2) {
      const line = lines.find(({ names }) => names.length === 1 && names[0] === '');
      if (line !== undefined) unified ??= { version: 2, folder: folderIn(mount, line.path) };
      continue;
    }
    for (const controller of controllers.filter((one) => mount.options.includes(one))) {
      const line = lines.find(({ names }) => names.includes(controller));
      if (line !== undefined) legacy[controller] ??= { version: 1, folder: folderIn(mount, line.path) };
    }
  }
  return { legacy, unified };
}

interface GroupMount {
  readonly version: 1 | 2;
  /** The group that is mounted, as the membership names it. */
  readonly root: string;
  readonly at: string;
  readonly options: readonly string[];
}

function groupMount(line: string): GroupMount[] {
  const [before, after] = line.split(' - ');
  const [, , , root, at] = before?.split(' ') ?? [];
  const [type, , options] = after?.split(' ') ?? [];
  if (root === undefined || at === undefined || (type !== 'cgroup' && type !== 'cgroup2')) return [];
  return [{ version: type === 'cgroup' ? 1 : 2, root, at: unescaped(at), options: options?.split(',') ?? [] }];
}

/** In a container the membership may be as the machine knows it, while the mount shows only what is below. */
function folderIn({ root, at }: GroupMount, path: string): string {
  // Out of sight of a container's namespace, the kernel writes the path with "..".
  if (path.split('/').includes('..')) return at;
  const inside = root === '/' ? path : path === root || path.startsWith(`${root}/`) ? path.slice(root.length) : '';
  return posix.join(at, inside).replace(/(?<=.)\/$/, '');
}

/** Spaces and the like are written as octal numbers. */
function unescaped(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
}

export interface LimitFile {
  readonly file: string;
  readonly content: string;
  /** Not every kernel has it, and the limit holds without. */
  readonly optional?: true;
}

const periodMicroseconds = 100_000;

export function limitFiles(
  controller: Controller,
  version: 1 | 2,
  { memoryBytes, cpus, processes }: Pick<SandboxLimits, 'memoryBytes' | 'cpus' | 'processes'>,
): LimitFile[] {
  const quota = String(Math.max(1000, Math.round(cpus * periodMicroseconds)));
  const memory = String(memoryBytes);
  switch (controller) {
    case 'memory':
      return version === 1
        ? [
            { file: 'memory.limit_in_bytes', content: memory },
            { file: 'memory.memsw.limit_in_bytes', content: memory, optional: true },
          ]
        : [
            { file: 'memory.max', content: memory },
            { file: 'memory.swap.max', content: '0', optional: true },
            { file: 'memory.oom.group', content: '1', optional: true },
          ];
    case 'cpu':
      return version === 1
        ? [
            { file: 'cpu.cfs_period_us', content: String(periodMicroseconds) },
            { file: 'cpu.cfs_quota_us', content: quota },
          ]
        : [{ file: 'cpu.max', content: `${quota} ${String(periodMicroseconds)}` }];
    case 'pids':
      return [{ file: 'pids.max', content: String(processes) }];
  }
}

/** Files of counters that say why something ended, by version. */
export const eventFiles = {
  1: { memory: 'memory.oom_control', peak: 'memory.max_usage_in_bytes', pids: 'pids.events' },
  2: { memory: 'memory.events', peak: 'memory.peak', pids: 'pids.events' },
} as const;

/** `name value`, one a line; anything else is passed over. */
export function readCounters(text: string): Readonly<Record<string, number>> {
  const found = text.split('\n').flatMap((line) => {
    const [, name, value] = /^([a-z_]+) (\d{1,15})$/.exec(line) ?? [];
    return name === undefined || value === undefined ? [] : [[name, Number(value)] as const];
  });
  return Object.fromEntries(found);
}

/** The ids in a `cgroup.procs`. */
export function readProcesses(text: string): number[] {
  return text
    .split('\n')
    .filter((line) => /^[1-9]\d{0,9}$/.test(line))
    .map(Number);
}
