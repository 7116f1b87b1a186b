import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sandboxAspects } from '#shared/protocol/sandbox.js';
import { RogueDevice } from '../support/agent/rogue-device.js';
import { faults, runMisbehaving } from '../support/chaos/misbehaving-modules.js';

const isRoot = process.getuid?.() === 0;

describe.runIf(isRoot && process.platform === 'linux')('a module with user code, where the agent is root', () => {
  let device: RogueDevice;
  let ownFolder: string;

  beforeAll(async () => {
    device = await RogueDevice.start();
    await device.deploy();
    ownFolder = moduleFolderOf(device);
  });
  afterAll(() => device.close());

  it('runs where the device says what it enforces: all of it', () => {
    const sandbox = device.cloud.state.capabilities?.sandbox;
    expect(sandboxAspects.filter((aspect) => sandbox?.[aspect].enforced !== true)).toEqual([]);
  });

  it('does what it is there for', async () => {
    expect(await device.attempt('score')).toEqual({ done: 10 });
    expect(await device.peaceful()).toBe(true);
  });

  it('has a user of its own, that no account has, and no other groups', async () => {
    const { done } = (await device.attempt('identity')) as { done: { uid: number; gid: number; groups: number[] } };
    expect(done.uid).toBeGreaterThanOrEqual(60_706);
    expect(done).toEqual({ uid: done.uid, gid: done.uid, groups: [done.uid] });
    expect(readFileSync('/etc/passwd', 'utf8')).not.toContain(`:${String(done.uid)}:`);
  });

  it.each(['identity.json', 'control-token', 'desired.json', 'committed.json', 'logs/digits.log'])(
    'cannot read %s of the agent',
    async (name) => {
      const path = join(device.root, name);
      expect(existsSync(path)).toBe(true);
      expect(await device.attempt('read', { path })).toEqual({ refused: 'ENOENT' });
    },
  );

  it('sees nothing of the machine but programs, its folder and its sockets', async () => {
    const { done: top } = (await device.attempt('list', { path: '/' })) as { done: string[] };
    for (const name of ['root', 'home', 'var', 'run', 'sys', 'srv', 'opt', 'boot', 'old'])
      expect(top).not.toContain(name);
    expect(await device.attempt('list', { path: device.root })).toEqual({ done: ['modules', 'run'] });
    const { done: modules } = (await device.attempt('list', { path: join(device.root, 'modules') })) as {
      done: string[];
    };
    expect(modules).toHaveLength(1);
    expect(await device.attempt('read', { path: '/etc/shadow' })).toEqual({ refused: 'ENOENT' });
    expect(await device.attempt('linkAndRead', { path: '/etc/shadow' })).toEqual({ refused: 'ENOENT' });
  });

  it('cannot read another module', async () => {
    const others = readdirSync(join(device.root, 'modules')).filter((name) => !ownFolder.endsWith(name));
    expect(others).toHaveLength(1);
    const path = join(device.root, 'modules', others[0] ?? '', 'module.yaml');
    expect(readFileSync(path, 'utf8')).toContain('digits');
    expect(await device.attempt('read', { path })).toEqual({ refused: 'ENOENT' });
  });

  it('writes in its temporary folder and nowhere else', async () => {
    expect(await device.attempt('write', { path: '/tmp/mine' })).toEqual({ done: true });
    expect(existsSync('/tmp/mine')).toBe(false);
    const before = readdirSync(ownFolder).sort();
    expect(await device.attempt('writeOwnFolder')).toMatchObject({ refused: 'EROFS' });
    expect(await device.attempt('chmodOwnFolder')).toMatchObject({ refused: 'EROFS' });
    for (const path of [
      '/x',
      '/usr/x',
      '/etc/x',
      '/dev/x',
      '/var/tmp/x',
      join(device.root, 'x'),
      '/proc/sys/kernel/core_pattern',
    ])
      expect(await device.attempt('write', { path })).toMatchObject({
        refused: expect.stringMatching(/^E(ROFS|ACCES|PERM|NOENT)$/) as string,
      });
    expect(readdirSync(ownFolder).sort()).toEqual(before);
  });

  it('fills its temporary folder, and no disk', async () => {
    const { done } = (await device.attempt('fillTemporary')) as { done: { megabytes: number; code: string } };
    expect(done.code).toMatch(/ENOSPC|EFBIG/);
    expect(done.megabytes).toBeLessThanOrEqual(16);
    expect(await device.attempt('score')).toEqual({ done: 10 });
  });

  it('reaches no network, and nobody reaches it', async () => {
    expect(await device.attempt('interfaces')).toEqual({ done: {} });
    const refused = await device.attempt('connectOut', { port: device.port });
    expect(refused).toMatchObject({
      refused: expect.stringMatching(/ENETUNREACH|ECONNREFUSED|EADDRNOTAVAIL/) as string,
    });
    // A port in a network of its own, without an interface.
    const { done: port } = (await device.attempt('listen')) as { done: number };
    await expect(fetch(`http://127.0.0.1:${String(port)}/`)).rejects.toThrow();
  });

  it('cannot speak to the agent, nor to models that are not its own', async () => {
    expect(await device.attempt('connectUnix', { path: join(device.root, 'agent.sock') })).toEqual({
      refused: 'ENOENT',
    });
    expect(await device.attempt('connectUnix', { path: '/var/run/docker.sock' })).toEqual({ refused: 'ENOENT' });
  });

  it('sees no process but its own, and signals none', async () => {
    expect(await device.attempt('processes')).toEqual({ done: 1 });
    for (const pid of [device.agent.pid, 1]) {
      expect(await device.attempt('signal', { pid })).toEqual({ refused: 'EPERM' });
      expect(await device.attempt('trace', { pid })).toEqual({ refused: 'ENOENT' });
    }
  });

  it("inherits nothing of the agent's environment", async () => {
    const { done } = (await device.attempt('environment')) as { done: Record<string, string> };
    expect(JSON.stringify(done)).not.toContain('not for modules');
    expect(
      Object.keys(done).filter((name) => !/^(PATH|HOME|TMPDIR|ORT_DISABLE_TELEMETRY|NODE_CHANNEL_.*)$/.test(name)),
    ).toEqual([]);
  });

  it.each([
    ['becomeRoot', /EPERM/],
    ['sudo', /./],
    ['userNamespace', /not permitted/],
    ['mount', /./],
  ])('gains no privileges: %s', async (attempt, reason) => {
    expect(await device.attempt(attempt)).toMatchObject({ refused: expect.stringMatching(reason) as string });
  });

  it('opens as many files as it may', async () => {
    const { done } = (await device.attempt('manyFiles')) as { done: { opened: number; code: string } };
    expect(done.code).toBe('EMFILE');
    expect(done.opened).toBeLessThan(256);
  });

  it('is served by a process of ours that can gain no privileges either', () => {
    const status = readFileSync(`/proc/${String(scoringHostOf(device))}/status`, 'utf8');
    expect(status).toContain('NoNewPrivs:\t1');
  });

  it('did all that beside a module that went on answering', async () => {
    expect(await device.peaceful()).toBe(true);
    expect(device.events('host.crashed')).toEqual([]);
    expect(device.events('module.crashed')).toEqual([]);
  });

  it('that misbehaves is bounded, told with its cause, and takes nothing with it', async () => {
    const bounds = { runs: 1, seed: 1, signal: new AbortController().signal, say: () => undefined };
    const rows = await runMisbehaving(bounds, device);
    expect(rows).toHaveLength(faults.length + 1);
    expect(rows.filter(({ runs, survived, lost, doubled }) => survived < runs || lost + doubled > 0)).toEqual([]);
  });
});

function moduleFolderOf(device: RogueDevice): string {
  const folders = readdirSync(join(device.root, 'modules')).map((name) => join(device.root, 'modules', name));
  const own = folders.find((folder) => readFileSync(join(folder, 'module.yaml'), 'utf8').includes('"rogue"'));
  if (own === undefined) throw new Error('the rogue is not unpacked');
  return own;
}

function scoringHostOf(device: RogueDevice): number {
  const found = execFileSync('ps', ['--ppid', String(device.agent.pid), '-o', 'pid=,args='], { encoding: 'utf8' });
  const line = found.split('\n').find((one) => one.includes('scoring/host/main'));
  return Number(line?.trim().split(' ')[0]);
}
