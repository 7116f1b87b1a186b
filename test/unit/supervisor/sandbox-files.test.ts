import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { limitFiles, locateGroups, readCounters } from '#shared/supervisor/sandbox/cgroup-files.js';
import { Cgroups } from '#shared/supervisor/sandbox/cgroups.js';
import { SandboxUsers } from '#shared/supervisor/sandbox/sandbox-users.js';
import { isBelow, viewOf } from '#shared/supervisor/sandbox/sandbox-view.js';

const limits = { memoryBytes: 1000, cpus: 0.5, processes: 40, openFiles: 1, temporaryBytes: 1 };

describe('where control groups lie', () => {
  const legacy = [
    '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct',
    '37 31 0:34 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory',
  ];
  const unified = '41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup rw,nsdelegate';

  it('version 1 and hybrid machines: one hierarchy a controller', () => {
    const found = locateGroups([...legacy, unified].join('\n'), '9:memory:/a/b\n1:cpu,cpuacct:/\n0::/user');
    expect(found).toEqual({
      legacy: {
        memory: { version: 1, folder: '/sys/fs/cgroup/memory/a/b' },
        cpu: { version: 1, folder: '/sys/fs/cgroup/cpu,cpuacct' },
      },
      unified: { version: 2, folder: '/sys/fs/cgroup/unified/user' },
    });
  });

  it('in a container: below what is mounted, also where the machine names it otherwise', () => {
    const mount = '41 31 0:38 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup rw';
    expect(locateGroups(mount, '0::/docker/x/mine').unified?.folder).toBe('/sys/fs/cgroup/mine');
    expect(locateGroups(mount, '0::/elsewhere').unified?.folder).toBe('/sys/fs/cgroup');
    expect(locateGroups(unified, '0::/../outside').unified?.folder).toBe('/sys/fs/cgroup/unified');
  });

  it('has the limits of a module in the files of either version', () => {
    const both = ([1, 2] as const).map((version) =>
      (['memory', 'cpu', 'pids'] as const).flatMap((controller) =>
        limitFiles(controller, version, limits).map(({ file, content }) => `${file} ${content}`),
      ),
    );
    expect(both).toEqual([
      [
        'memory.limit_in_bytes 1000',
        'memory.memsw.limit_in_bytes 1000',
        'cpu.cfs_period_us 100000',
        'cpu.cfs_quota_us 50000',
        'pids.max 40',
      ],
      ['memory.max 1000', 'memory.swap.max 0', 'memory.oom.group 1', 'cpu.max 50000 100000', 'pids.max 40'],
    ]);
    expect(readCounters('low 0\noom 3\noom_kill 2\nx y z')).toEqual({ low: 0, oom: 3, oom_kill: 2 });
  });
});

describe('control groups of version 2, as far as plain files can stand for them', () => {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
  const machine = (): { own: string; read: { mounts: string; membership: string } } => {
    const own = mkdtempSync(join(tmpdir(), 'flotilla-groups-'));
    folders.push(own);
    writeFileSync(join(own, 'cgroup.controllers'), 'cpuset cpu memory pids\n');
    const read = { mounts: join(own, 'mounts'), membership: join(own, 'membership') };
    writeFileSync(read.mounts, `41 31 0:38 / ${own} rw - cgroup2 cgroup rw\n`);
    writeFileSync(read.membership, '0::/\n');
    return { own, read };
  };

  it('hand the controllers down twice, and bound a process in a folder of its own', async () => {
    const { own, read } = machine();
    const cgroups = await Cgroups.open('flotilla-x', read);
    expect(readFileSync(join(own, 'cgroup.subtree_control'), 'utf8')).toBe('+memory +cpu +pids');
    expect(readFileSync(join(own, 'flotilla-x/cgroup.subtree_control'), 'utf8')).toBe('+memory +cpu +pids');
    const group = cgroups.create('m-1', limits);
    expect(group.entrances).toEqual([join(own, 'flotilla-x/m-1/cgroup.procs')]);
    expect(readFileSync(join(own, 'flotilla-x/m-1/cpu.max'), 'utf8')).toBe('50000 100000');
    writeFileSync(join(own, 'flotilla-x/m-1/memory.events'), 'oom 1\noom_kill 1\n');
    writeFileSync(join(own, 'flotilla-x/m-1/memory.peak'), '999\n');
    expect(group.story()).toEqual({ memoryKills: 1, memoryPeakBytes: 999, refusedProcesses: 0 });
  });

  it('say why they cannot be used', async () => {
    const { own, read } = machine();
    mkdirSync(join(own, 'cgroup.subtree_control'));
    const cgroups = await Cgroups.open('flotilla-x', read);
    expect(cgroups.version('memory')).toBeUndefined();
    expect(cgroups.problems.memory).toMatch(/cannot be written \(EISDIR\).*Delegate=yes/);
  });
});

describe('users without an account', () => {
  it("are never two modules' at once, and run out instead", () => {
    const users = new SandboxUsers('owner');
    const taken = Array.from({ length: 478 }, () => users.take());
    expect(new Set(taken).size).toBe(478);
    expect(taken.every((user) => user !== undefined && user >= 60_706 && user <= 61_183)).toBe(true);
    expect(users.take()).toBeUndefined();
    users.give(60_800);
    expect(users.take()).toBe(60_800);
  });
});

describe('the view of a confined program', () => {
  const input = { programs: ['/opt/flotilla'], network: false, temporaryBytes: 1 };

  it('hides the state folder where another part would show it, and shows the module in it', () => {
    const state = '/opt/flotilla/state';
    const parts = viewOf({ ...input, folders: [`${state}/modules/a`], secrets: [state] });
    const at = (kind: string, path: string): number =>
      parts.findIndex((part) => part.kind === kind && part.path === path);
    expect(at('hide', state)).toBeGreaterThan(at('bind', '/opt/flotilla'));
    expect(at('bind', `${state}/modules/a`)).toBeGreaterThan(at('hide', state));
  });

  it("has neither the machine's names of other machines nor certificates without the network", () => {
    const paths = viewOf({ ...input, folders: [], secrets: [] }).map(({ path }) => path);
    expect(paths).not.toContain('/etc/resolv.conf');
    expect(paths).not.toContain('/etc/passwd');
    expect([isBelow('/a/bc', '/a/b'), isBelow('/a/b/c', '/a/b'), isBelow('/a', '/')]).toEqual([false, true, true]);
  });
});
