/**
 * Control groups of our own, below the one that this process is in: one for each confined process and all
 * that it starts. What an earlier life of the same owner left behind is ended first.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '#shared/kernel/errors.js';
import { errno } from '#shared/platform/atomic-file.js';
import {
  type Controller,
  controllers,
  eventFiles,
  type GroupPlace,
  limitFiles,
  locateGroups,
  readCounters,
  readProcesses,
} from './cgroup-files.js';
import type { SandboxLimits } from './plan-sandbox.js';

/** What a group tells after its processes have ended. */
export interface GroupStory {
  readonly memoryKills: number;
  readonly memoryPeakBytes: number | undefined;
  /** Processes or threads that were refused. */
  readonly refusedProcesses: number;
}

const killAttempts = 200;
/** Names of groups that an owner's next life lets end by themselves begin so. A module's name has no dot. */
export const unhurried = 'host.';

export class Cgroups {
  private constructor(
    private readonly bases: Readonly<Partial<Record<Controller, GroupPlace>>>,
    /** Why a controller cannot be used. */
    readonly problems: Readonly<Partial<Record<Controller, string>>>,
  ) {}

  /**
   * @param owner tells the groups of one owner from another's; the same after a restart
   * @param read for tests: the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`
   */
  static async open(
    owner: string,
    read = { mounts: '/proc/self/mountinfo', membership: '/proc/self/cgroup' },
  ): Promise<Cgroups> {
    const located = locateGroups(textOf(read.mounts), textOf(read.membership));
    const bases: Partial<Record<Controller, GroupPlace>> = {};
    const problems: Partial<Record<Controller, string>> = {};
    const unified = located.unified && openUnified(located.unified.folder, owner);
    for (const controller of controllers) {
      const legacy = located.legacy[controller];
      const opened = legacy === undefined ? unified?.(controller) : openLegacy(legacy.folder, owner);
      if (opened === undefined) problems[controller] = `no control group of it is mounted`;
      else if (typeof opened === 'string') problems[controller] = opened;
      else bases[controller] = opened;
    }
    const cgroups = new Cgroups(bases, problems);
    await cgroups.clear();
    return cgroups;
  }

  version(controller: Controller): 1 | 2 | undefined {
    return this.bases[controller]?.version;
  }

  /** A group with the limits of those controllers that there are. Without limits it only tells what befell. */
  create(name: string, limits: SandboxLimits | undefined, only: readonly Controller[] = controllers): Cgroup {
    const folders = new Map<Controller, GroupPlace>();
    for (const controller of only) {
      const base = this.bases[controller];
      if (base === undefined) continue;
      const folder = join(base.folder, name);
      mkdirSync(folder, { recursive: true });
      const files = limits === undefined ? [] : limitFiles(controller, base.version, limits);
      for (const { file, content, optional } of files) {
        try {
          writeFileSync(join(folder, file), content);
        } catch (error) {
          if (optional !== true) throw error;
        }
      }
      folders.set(controller, { version: base.version, folder });
    }
    return new Cgroup(folders);
  }

  /** Ends whatever runs in groups of ours, and removes them. Scoring hosts finish what is under way by themselves. */
  async clear(): Promise<void> {
    const names = new Set(
      Object.values(this.bases).flatMap(({ folder }) =>
        readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])),
      ),
    );
    for (const name of names) {
      const folders = Object.entries(this.bases).map(
        ([controller, base]) => [controller as Controller, { ...base, folder: join(base.folder, name) }] as const,
      );
      if (name.startsWith(unhurried)) for (const [, { folder }] of folders) removeQuietly(folder);
      else await new Cgroup(new Map(folders.filter(([, { folder }]) => existsSync(folder)))).end();
    }
  }

  /** Removes what was made at {@link open}; the groups in it must have ended. */
  close(): void {
    for (const { folder } of Object.values(this.bases)) removeQuietly(folder);
  }
}

export class Cgroup {
  constructor(private readonly places: ReadonlyMap<Controller, GroupPlace>) {}

  /** Files that a process writes its own id into, to be in this group. */
  get entrances(): string[] {
    return [...new Set([...this.places.values()].map(({ folder }) => join(folder, 'cgroup.procs')))];
  }

  story(): GroupStory {
    const counters = (controller: 'memory' | 'pids'): Readonly<Record<string, number>> => {
      const place = this.places.get(controller);
      return place === undefined ? {} : readCounters(textOf(join(place.folder, eventFiles[place.version][controller])));
    };
    const memory = this.places.get('memory');
    const peak = memory && Number(textOf(join(memory.folder, eventFiles[memory.version].peak)).trim() || Number.NaN);
    return {
      memoryKills: counters('memory')['oom_kill'] ?? 0,
      memoryPeakBytes: peak !== undefined && Number.isFinite(peak) ? peak : undefined,
      refusedProcesses: counters('pids')['max'] ?? 0,
    };
  }

  /** Ends every process in it, however fast they multiply, and removes it. */
  async end(): Promise<void> {
    const pids = this.places.get('pids');
    // None may be born while the others are ended.
    if (pids !== undefined) writeQuietly(join(pids.folder, 'pids.max'), '0');
    for (let attempt = 0; attempt < killAttempts; attempt++) {
      const left = this.processes();
      if (left.length === 0) break;
      for (const { version, folder } of this.places.values())
        if (version === 2) writeQuietly(join(folder, 'cgroup.kill'), '1');
      for (const id of left) killQuietly(id);
      await sleep(attempt < 20 ? 1 : 20);
    }
    for (const { folder } of this.places.values()) removeQuietly(folder);
  }

  processes(): number[] {
    return [...new Set(this.entrances.flatMap((file) => readProcesses(textOf(file))))];
  }
}

function openLegacy(own: string, owner: string): GroupPlace | string {
  const folder = join(own, owner);
  try {
    mkdirSync(folder, { recursive: true });
    return { version: 1, folder };
  } catch (error) {
    return `${own} cannot be written (${errno(error) ?? messageOf(error)})`;
  }
}

/**
 * A group of version 2 hands controllers down only while no process is in it, the root of the machine
 * excepted: where we are alone in ours, we move into one below.
 */
function openUnified(own: string, owner: string): (controller: Controller) => GroupPlace | string | undefined {
  const offered = textOf(join(own, 'cgroup.controllers')).trim().split(/\s+/);
  const wanted = controllers.filter((controller) => offered.includes(controller));
  const folder = join(own, owner);
  let problem: string | undefined;
  if (wanted.length > 0) {
    const enable = wanted.map((controller) => `+${controller}`).join(' ');
    try {
      mkdirSync(folder, { recursive: true });
      handDown(own, `${owner}-agent`, enable);
      writeFileSync(join(folder, 'cgroup.subtree_control'), enable);
    } catch (error) {
      removeQuietly(folder);
      problem =
        errno(error) === 'EBUSY'
          ? `other processes are in the agent's control group ${own}: start the agent as a service (systemd: Delegate=yes)`
          : `${own} cannot be written (${errno(error) ?? messageOf(error)}): start the agent with a control group of its own (systemd: Delegate=yes)`;
    }
  }
  return (controller) => {
    if (!wanted.includes(controller)) return undefined;
    return problem ?? { version: 2, folder };
  };
}

function handDown(own: string, leaf: string, enable: string): void {
  const control = join(own, 'cgroup.subtree_control');
  try {
    writeFileSync(control, enable);
  } catch (error) {
    const inside = readProcesses(textOf(join(own, 'cgroup.procs')));
    if (errno(error) !== 'EBUSY' || inside.some((id) => id !== process.pid)) throw error;
    mkdirSync(join(own, leaf), { recursive: true });
    writeFileSync(join(own, leaf, 'cgroup.procs'), String(process.pid));
    writeFileSync(control, enable);
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // No Linux, no such controller, or not for us to read.
    return '';
  }
}

function writeQuietly(path: string, content: string): void {
  try {
    writeFileSync(path, content, { flag: 'r+' });
  } catch {
    // An older kernel, or gone already.
  }
}

function killQuietly(id: number): void {
  try {
    process.kill(id, 'SIGKILL');
  } catch {
    // Gone already.
  }
}

function removeQuietly(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Still in use, or gone; the next start removes it.
  }
}
