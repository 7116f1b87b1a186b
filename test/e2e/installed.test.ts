import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownPort } from '#test/support/own-port.js';
import { sandboxAspects, type SandboxCapabilities } from '#shared/protocol/sandbox.js';
import { until } from '../support/agent/fake-cloud.js';
import { archivePath, debianPackage, hasArchives, unpack } from '../support/installed/archives.js';
import { BootedMachine } from '../support/installed/booted-machine.js';
import { EmptyRoot } from '../support/installed/empty-root.js';
import { printedPattern, readPage } from '../support/doc-page.js';
import { hasOutsideTools } from '../support/outside-tool.js';
import { repository, World } from '../support/world.js';

const device = archivePath('flotilla-agent', 'linux-x64');
const cloud = archivePath('flotilla', 'linux-x64');
const isLinuxRoot = process.getuid?.() === 0 && process.platform === 'linux' && process.arch === 'x64';
const runs = isLinuxRoot && hasArchives(device, cloud, debianPackage);

const cloudUnits = ['flotilla.service', 'flotilla-services.path', 'flotilla-services.service'];

const pidIn = (properties: string): string => /MainPID=([1-9]\d*)/.exec(properties)?.[1] ?? '';

/** Whoever answers there; its certificate is of an authority that this process does not know. */
function postJson(url: string, body: unknown): Promise<unknown> {
  const headers = { 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const asked = request(url, { method: 'POST', headers, rejectUnauthorized: false, agent: false }, (response) => {
      json(response).then(resolve, reject);
    });
    asked.on('error', reject).end(JSON.stringify(body));
  });
}

function unenforced(status: string): string[] {
  const { sandbox } = (JSON.parse(status) as { reported: { capabilities: { sandbox: SandboxCapabilities } } }).reported
    .capabilities;
  return sandboxAspects
    .filter((aspect) => !sandbox[aspect].enforced)
    .map((aspect) => `${aspect}: ${sandbox[aspect].by}`);
}

describe.runIf(runs)('the archives, on machines without Node', () => {
  let world: World;
  let pixels: number[];
  const tokenFor = async (): Promise<string> =>
    ((await world.flotillaJson('device', 'token', '--tag', 'site=lab')) as { token: string }).token;
  const scored = async (port: number): Promise<unknown> => {
    const response = await fetch(`http://127.0.0.1:${String(port)}/score`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ pixels }),
    });
    return response.json();
  };
  const three = { word: 'three', probability: expect.closeTo(0.967, 2) as number };

  beforeAll(async () => {
    world = await World.create();
    const digit = await readFile(join(repository, 'modules/digits/fixtures/digit.json'), 'utf8');
    pixels = (JSON.parse(digit) as { inputs: { data: number[] }[] }).inputs[0]?.data ?? [];
    await world.open();
    await world.flotilla('model', 'register', join(repository, 'modules/digits/model.onnx'), '--name', 'digits');
    await world.flotilla(
      'image',
      'build',
      join(repository, 'test/fixtures/modules/digit-words'),
      '--model',
      'digits:1',
    );
  });
  afterAll(() => world.close());

  describe('in a root that holds a shell and the C library alone', () => {
    let root: EmptyRoot;
    let unpacked: string;
    let stop: () => Promise<string>;
    let port: number;

    beforeAll(async () => {
      root = await EmptyRoot.make();
      port = await ownPort();
      unpacked = `/${unpack(device, root.folder)}`;
    });
    afterAll(() => root.remove());

    it('finds no Node and no packages there but its own, and every file whole', async () => {
      const found = await root.run('find', '/usr', '/etc', '(', '-name', 'node*', '-o', '-name', 'npm*', ')');
      expect(found).toBe('');
      await root.run('sh', '-c', `cd ${unpacked} && sha256sum -c --quiet SHA256SUMS`);
    });

    it('shows what it would do, and does nothing', async () => {
      expect(await root.run(`${unpacked}/install.sh`, '--print')).toMatch(/programs \/opt\/flotilla-agent\/releases\//);
      expect(existsSync(root.path('opt/flotilla-agent'))).toBe(false);
    });

    it('installs group, folders, programs, settings and unit, and the second time finds them there', async () => {
      const outcomes = async (): Promise<string[]> => {
        const report = await root.run(`${unpacked}/install.sh`, '--output', 'json');
        return (JSON.parse(report) as { steps: { outcome: string }[] }).steps.map(({ outcome }) => outcome);
      };
      expect(new Set(await outcomes())).toEqual(new Set(['done', 'unchanged']));
      expect(new Set(await outcomes())).toEqual(new Set(['unchanged']));
      expect(statSync(root.path('var/lib/flotilla-agent')).mode & 0o7777).toBe(0o700);
      const group = /^flotilla-agent:x:(\d+):$/m.exec(readFileSync(root.path('etc/group'), 'utf8'))?.[1];
      const settings = statSync(root.path('etc/flotilla-agent/agent.yaml'));
      expect([settings.mode & 0o7777, settings.uid, String(settings.gid)]).toEqual([0o640, 0, group]);
      expect(readFileSync(root.path('etc/systemd/system/flotilla-agent.service'), 'utf8')).toContain('Delegate=yes');
    });

    it('enrols, runs and scores by a script of its own in its bounds', async () => {
      await writeFile(
        root.path('etc/flotilla-agent/agent.yaml'),
        `stateDir: /var/lib/flotilla-agent\nscoring: { port: ${String(port)} }\n`,
      );
      await root.run('flotilla-agent', 'enroll', '--token', await tokenFor(), '--name', 'bare-1');
      stop = root.start('flotilla-agent', 'run');
      await world.flotilla('deploy', 'digit-words:1', '--device', 'bare-1', '--probation', '0', '--timeout', '60s');
      expect(await scored(port)).toEqual(three);
      expect(unenforced(await root.run('flotilla-agent', 'status', '--output', 'json'))).toEqual([]);
    });

    it('is taken away, and what it knew stays until that is asked for', async () => {
      await stop();
      await root.run('flotilla-agent', 'uninstall');
      for (const path of [
        'opt/flotilla-agent',
        'usr/local/bin/flotilla-agent',
        'etc/systemd/system/flotilla-agent.service',
      ])
        expect(existsSync(root.path(path))).toBe(false);
      expect(existsSync(root.path('var/lib/flotilla-agent/identity.json'))).toBe(true);
      await root.run(`${unpacked}/uninstall.sh`, '--purge');
      expect(existsSync(root.path('var/lib/flotilla-agent'))).toBe(false);
      expect(readFileSync(root.path('etc/group'), 'utf8')).not.toContain('flotilla-agent');
    });
  });

  describe.runIf(runs && hasOutsideTools('systemd-nspawn', 'nsenter'))('booted by systemd', () => {
    let machine: BootedMachine;
    let port: number;
    let apiPort: number;
    let servicesPort: number;
    let answer: unknown;
    const askEndpoint = (): Promise<unknown> =>
      postJson(`https://127.0.0.1:${String(servicesPort)}/endpoints/default/words/score`, { pixels });

    beforeAll(async () => {
      machine = await BootedMachine.make();
      port = await ownPort();
      apiPort = await ownPort();
      servicesPort = await ownPort();
      for (const archive of [device, cloud]) {
        const folder = unpack(archive, join(machine.root, 'srv'));
        execFileSync(join(machine.root, 'srv', folder, 'install.sh'), ['--root', machine.root]);
      }
      await machine.append('etc/flotilla-agent/agent.yaml', `scoring: { port: ${String(port)} }\n`);
      await machine.append(
        'etc/flotilla/cloud.yaml',
        `http: { port: ${String(apiPort)} }\ngateway: { port: 0 }\nbroker: { port: 0 }\nservices: { port: ${String(servicesPort)} }\n`,
      );
      // Whoever tests need not wait as long as whoever must not be flooded.
      await mkdir(join(machine.root, 'etc/systemd/system/flotilla-agent.service.d'));
      await machine.append('etc/systemd/system/flotilla-agent.service.d/soon.conf', '[Service]\nRestartSec=100ms\n');
      await machine.boot();
    });
    afterAll(() => machine.remove());

    it('starts the control plane, whose owner token is in a file and in no log', async () => {
      const log = (): Promise<string> => machine.run('journalctl', '--unit', 'flotilla', '--output', 'cat');
      await until('up', async () => (await log()).includes('the control plane is up'));
      expect(await log()).not.toMatch(/flt_/);
      expect(await machine.run('stat', '-c', '%a %U', '/var/lib/flotilla/owner-token')).toBe('600 flotilla\n');
      const facts = await machine.run('systemctl', 'show', 'flotilla', '--property', 'User,NRestarts');
      expect(facts.trim().split('\n').sort()).toEqual(['NRestarts=0', 'User=flotilla']);
    });

    it('waits with the agent until the machine is enrolled, then runs it, in its bounds', async () => {
      expect(await machine.try('systemctl', 'is-active', 'flotilla-agent')).toBe('inactive\n');
      const said = await machine.run('flotilla-agent', 'enroll', '--token', await tokenFor(), '--name', 'booted-1');
      expect(said).toContain('Next: systemctl start flotilla-agent');
      await machine.run('systemctl', 'start', 'flotilla-agent');
      await world.flotilla('deploy', 'digit-words:1', '--device', 'booted-1', '--probation', '0', '--timeout', '60s');
      answer = await scored(port);
      expect(answer).toEqual(three);
      expect(unenforced(await machine.run('flotilla-agent', 'status', '--output', 'json'))).toEqual([]);
    });

    it('starts an agent that was killed anew', async () => {
      const pid = (): Promise<string> => machine.run('systemctl', 'show', 'flotilla-agent', '--property', 'MainPID');
      const before = await pid();
      await machine.run('systemctl', 'kill', '--signal', 'KILL', 'flotilla-agent');
      await until('another process', async () => {
        const now = await pid();
        return now !== before && now !== 'MainPID=0\n';
      });
      expect(await machine.run('systemctl', 'show', 'flotilla-agent', '--property', 'NRestarts')).toBe('NRestarts=1\n');
    });

    it('answers requests in a unit of its own, which the end of the control plane does not touch', async () => {
      const url = `https://127.0.0.1:${String(apiPort)}`;
      const [authority = ''] =
        /[0-9a-f]{64}/.exec(await machine.run('journalctl', '-u', 'flotilla', '-o', 'cat')) ?? [];
      const token = await machine.run('cat', '/var/lib/flotilla/owner-token');
      await machine.run('flotilla', 'login', url, '--authority', authority, '--token', token.trim());
      await cp(join(repository, 'test/fixtures/modules/digit-words'), join(machine.root, 'srv/words'), {
        recursive: true,
      });
      await machine.copy(join(repository, 'modules/digits/model.onnx'), 'srv/digits.onnx');
      for (const command of [
        ['model', 'register', '/srv/digits.onnx', '--name', 'digits'],
        ['image', 'build', '/srv/words', '--model', 'digits:1'],
        ['trust', 'propose', '--publish'],
        ['endpoint', 'create', 'words', '--auth', 'none'],
        ['deployment', 'create', 'blue', '--endpoint', 'words', '--image', 'digit-words:1', '--all-traffic'],
      ])
        await machine.run('flotilla', ...command);
      await until('answering', async () => isDeepStrictEqual(await askEndpoint().catch(() => undefined), answer));
      const unit = ['flotilla-services', '--property', 'User,MainPID'];
      const before = await machine.run('systemctl', 'show', ...unit);
      expect(before).toContain('User=flotilla\n');
      await machine.run('systemctl', 'kill', '--signal', 'KILL', 'flotilla');
      expect(await askEndpoint()).toEqual(answer);
      await machine.run('systemctl', 'restart', 'flotilla');
      expect(await askEndpoint()).toEqual(answer);
      await until('up', () => machine.run('flotilla', 'endpoint', 'list').then(Boolean, () => false));
      expect(await machine.run('systemctl', 'show', ...unit)).toBe(before);
    });

    it('lets that unit bound user code, see images and certificates, and not the key that seals all others', async () => {
      const shown = JSON.parse(await machine.run('flotilla', 'endpoint', 'show', 'words', '--output', 'json')) as {
        status: { sandbox: SandboxCapabilities };
      };
      const { files, network, mounts } = shown.status.sandbox;
      expect([files, network, mounts].map(({ enforced, by }) => enforced || by)).toEqual([true, true, true]);
      const unit = await machine.run('systemctl', 'show', 'flotilla-services', '--property', 'MainPID');
      const inside = (command: string): Promise<string> =>
        machine.run('nsenter', '--target', pidIn(unit), '--mount', 'sh', '-c', command);
      expect(await inside('ls /var/lib/flotilla')).toBe('blobs\nkeys\nservices\n');
      expect(await inside('cat /var/lib/flotilla/keys/at-rest.key')).toBe('');
      expect(await machine.run('cat', '/var/lib/flotilla/keys/at-rest.key')).not.toBe('');
    });

    it('is operated as its page says: looked after, backed up and restored', async () => {
      const workspaces = (): Promise<string> => machine.run('flotilla', 'workspace', 'list');
      await machine.run('flotilla', 'workspace', 'create', 'before-the-backup');
      await until('connected', async () => (await machine.try('flotilla-agent', 'status')).includes(' connected'));
      for (const block of await readPage(join(repository, 'docs/operate.md'))) {
        const isRestore = block.commands.includes('tar -C /var/lib -xzpf');
        if (isRestore) await machine.run('flotilla', 'workspace', 'create', 'after-the-backup');
        const printed = await machine.run('bash', '-euo', 'pipefail', '-c', block.commands);
        if (block.expected !== undefined) expect(printed).toMatch(printedPattern(block.expected));
        await until('up', () => workspaces().then(Boolean, () => false));
      }
      expect(await workspaces()).toContain('before-the-backup');
      expect(await workspaces()).not.toContain('after-the-backup');
    });

    it('has units that systemd finds nothing wrong with', async () => {
      expect(await machine.run('systemd-analyze', 'verify', 'flotilla-agent.service', ...cloudUnits)).toBe('');
    });

    it('keeps who it is while it goes from the archive to the Debian package', async () => {
      await machine.copy(debianPackage, 'srv/agent.deb');
      await expect(machine.run('dpkg', '--install', '/srv/agent.deb')).rejects.toThrow(/flotilla-agent uninstall/);
      await machine.run('flotilla-agent', 'uninstall');
      expect(await machine.try('systemctl', 'is-active', 'flotilla-agent')).toBe('inactive\n');
      await machine.run('dpkg', '--force-confold', '--install', '/srv/agent.deb');
      expect(await machine.run('systemctl', 'is-enabled', 'flotilla-agent')).toBe('enabled\n');
      await until('scoring again', async () => isDeepStrictEqual(await scored(port).catch(() => undefined), answer));
    });

    it('loses the control plane, its data and its user when that is asked for', async () => {
      await machine.run('flotilla', 'cloud', 'uninstall', '--purge');
      expect(await machine.try('systemctl', 'is-active', ...cloudUnits)).toBe('inactive\n'.repeat(3));
      const left = await machine.try('sh', '-c', 'ls -d /opt/flotilla /var/lib/flotilla /etc/flotilla; id flotilla');
      expect(left).toBe('');
    });
  });
});
