import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { coresWithin, cpuQuota, usableCores } from '#shared/platform/usable-cores.js';

const files =
  (content: Readonly<Record<string, string>>) =>
  (path: string): string | undefined =>
    content[path];

describe('the CPU limit of a cgroup', () => {
  it('of version 2 is read from cpu.max of the own group', () => {
    const read = files({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '250000 100000\n' });
    expect(cpuQuota(read)).toBe(2.5);
  });

  it('of version 2 is the tightest of those above the own group', () => {
    const read = files({
      '/proc/self/cgroup': '0::/machine.slice/box.scope\n',
      '/sys/fs/cgroup/machine.slice/box.scope/cpu.max': '400000 100000\n',
      '/sys/fs/cgroup/machine.slice/cpu.max': '150000 100000\n',
    });
    expect(cpuQuota(read)).toBe(1.5);
  });

  it('of version 1 is quota over period', () => {
    const read = files({
      '/proc/self/cgroup': '12:memory:/box\n4:cpu,cpuacct:/box\n1:name=systemd:/box\n',
      '/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us': '50000\n',
      '/sys/fs/cgroup/cpu/box/cpu.cfs_period_us': '100000\n',
    });
    expect(cpuQuota(read)).toBe(0.5);
  });

  it("is found at the mount's root where the path is one that only the machine knows", () => {
    const read = files({
      '/proc/self/cgroup': '4:cpu,cpuacct:/docker/0123abcd\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '300000\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    });
    expect(cpuQuota(read)).toBe(3);
  });

  it('is not led out of the mount by a path with dots', () => {
    const read = files({ '/proc/self/cgroup': '0::/../../other\n', '/sys/fs/cgroup/cpu.max': '200000 100000' });
    expect(cpuQuota(read)).toBe(2);
  });

  it.each([
    ['a group without one', { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': 'max 100000\n' }],
    [
      'a version 1 group without one',
      {
        '/proc/self/cgroup': '4:cpu:/\n',
        '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1',
        '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000',
      },
    ],
    ['a system without cgroups', {}],
    ['files that make no sense', { '/proc/self/cgroup': 'x\n0::/\n', '/sys/fs/cgroup/cpu.max': '\n' }],
    ['a period of nought', { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '100 0' }],
  ])('of %s is none', (_what, content) => {
    expect(cpuQuota(files(content))).toBeUndefined();
  });
});

describe('usable cores', () => {
  const limited = (max: string) => files({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': max });

  it.each([
    ['the whole cores of a limit', 64, '250000 100000', 2],
    ['one where the limit is less than one', 64, '20000 100000', 1],
    ['those that the process may run on, where the limit is above', 2, '800000 100000', 2],
    ['those that the process may run on, without a limit', 4, 'max 100000', 4],
  ])('are %s', (_what, parallelism, max, cores) => {
    expect(coresWithin(parallelism, limited(max))).toBe(cores);
  });

  it('of this process are at least one, and no more than Node counts', () => {
    expect(usableCores()).toBeGreaterThanOrEqual(1);
    expect(usableCores()).toBeLessThanOrEqual(availableParallelism());
  });
});
