import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sandboxAspects } from '#shared/protocol/sandbox.js';
import { until } from '../support/agent/fake-cloud.js';
import { RogueDevice } from '../support/agent/rogue-device.js';
import { faults, runMisbehaving } from '../support/chaos/misbehaving-modules.js';

const isRoot = process.getuid?.() === 0;

describe.runIf(isRoot && process.platform === 'linux')('a module with user code, where the agent is root', () => {
  let device: RogueDevice;
  let ownFolder: string;

  beforeAll(async () => {
    // As a hardened service is started: no file that it makes is for others.
    device = await RogueDevice.start({ prefix: ['sh', '-c', 'umask 077; exec "$@"', 'sh'] });
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
    const mine = `/tmp/rogue-${String(device.port)}`;
    expect(await device.attempt('write', { path: mine })).toEqual({ done: true });
    expect(existsSync(mine)).toBe(false);
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
    // `npm run chaos -- modules` tries these two in their other form as well.
    const chosen = faults.filter(({ fault }) => !/in the heap|and it throws/.test(fault));
    const rows = await runMisbehaving(bounds, device, chosen);
    expect(rows).toHaveLength(faults.length - 1);
    expect(rows.filter(({ runs, survived, lost, doubled }) => survived < runs || lost + doubled > 0)).toEqual([]);
  });
});

describe.runIf(isRoot && process.platform === 'linux')(
  'a module with user code, where the agent is nobody in particular',
  () => {
    const nobody = 65_534;
    let device: RogueDevice;

    beforeAll(async () => {
      device = await RogueDevice.start({ user: nobody });
      await device.deploy();
    });
    afterAll(() => device.close());

    it('works, and the device says what it cannot enforce, and why', async () => {
      expect(await device.attempt('score')).toEqual({ done: 10 });
      const sandbox = device.cloud.state.capabilities?.sandbox;
      expect(sandbox?.user).toEqual({ enforced: false, by: 'the agent is not root' });
      expect(sandbox?.memory).toMatchObject({
        enforced: false,
        by: expect.stringContaining('it is watched') as string,
      });
      expect(sandbox?.files.enforced).toBe(true);
      expect(await device.log()).toMatch(/its sandbox lacks user, memory/);
    });

    it('gains nothing, inherits nothing, and is told apart from other files where the kernel lends namespaces', async () => {
      const { done } = (await device.attempt('environment')) as { done: Record<string, string> };
      expect(JSON.stringify(done)).not.toContain('not for modules');
      expect((await device.attempt('sudo')).done).toBeUndefined();
      expect((await device.attempt('manyFiles')).done).toMatchObject({ code: 'EMFILE' });
      const { mounts, network } = device.cloud.state.capabilities?.sandbox ?? {};
      const key = await device.attempt('read', { path: join(device.root, 'identity.json') });
      expect(key.refused).toBe(mounts?.enforced === true ? 'ENOENT' : undefined);
      const out = await device.attempt('connectOut', { port: device.port });
      expect(out.done).toBe(network?.enforced === true ? undefined : 'connected');
    });

    it('that eats memory is ended by the watch, with the numbers', async () => {
      await device.attempt('eatMemory').catch(() => undefined);
      await until('told', () => device.events('module.crashed').length > 0);
      const [event] = device.events('module.crashed');
      expect(event?.details).toMatchObject({ cause: 'memory', memoryLimitBytes: 192 * 2 ** 20 });
      expect(event?.details?.['memoryBytes']).toBeGreaterThan(192 * 2 ** 20);
      expect(await device.peaceful()).toBe(true);
    });

    it('is refused when it requires what this device cannot enforce, or asks for what it does not grant', async () => {
      const strict = await device.rejected(await device.version(2, 'requires: { sandbox: [files, user] }'));
      expect(strict).toMatchObject({
        code: 'capability.unmet',
        message: expect.stringContaining('user (the agent is not root)') as string,
      });
      const online = await device.rejected(await device.version(3, 'permissions: { network: true }'));
      expect(online).toMatchObject({
        code: 'permission.refused',
        message: expect.stringContaining('network') as string,
      });
      await device.rogueAnswers();
    });
  },
);

it.runIf(isRoot && process.platform === 'linux')(
  'a module with user code, where the agent is root in a container that may not mount, is another user all the same',
  async () => {
    const device = await RogueDevice.start({ prefix: ['setpriv', '--bounding-set', '-sys_admin', '--'] });
    try {
      await device.deploy();
      expect(await device.attempt('score')).toEqual({ done: 10 });
      const sandbox = device.cloud.state.capabilities?.sandbox;
      expect([sandbox?.user.enforced, sandbox?.mounts.enforced, sandbox?.network.enforced]).toEqual([
        true,
        false,
        false,
      ]);
      for (const path of [device.root, join(device.root, 'modules')])
        expect(await device.attempt('list', { path })).toEqual({ refused: 'EACCES' });
      for (const path of ['identity.json', 'desired.json', 'logs/digits.log'])
        expect(await device.attempt('read', { path: join(device.root, path) })).toEqual({ refused: 'EACCES' });
      expect(await device.attempt('connectUnix', { path: join(device.root, 'agent.sock') })).toEqual({
        refused: 'EACCES',
      });
      expect(await device.attempt('writeOwnFolder')).toEqual({ refused: 'EACCES' });
      expect(await device.attempt('signal', { pid: device.agent.pid })).toEqual({ refused: 'EPERM' });
      expect(await device.attempt('trace', { pid: device.agent.pid })).toEqual({ refused: 'EACCES' });
      expect((await device.attempt('sudo')).done).toBeUndefined();
    } finally {
      await device.close();
    }
  },
);

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
