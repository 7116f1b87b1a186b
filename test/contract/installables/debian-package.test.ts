import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agentVersion } from '#agent/version.js';
import { debianPackage, hasArchives } from '../../support/installed/archives.js';
import { EmptyRoot } from '../../support/installed/empty-root.js';
import { outsideTool } from '../../support/outside-tool.js';

const isLinuxRoot = process.getuid?.() === 0 && process.platform === 'linux' && process.arch === 'x64';

describe.runIf(hasArchives(debianPackage))('the Debian package of the agent', () => {
  const said = (...args: readonly string[]): string =>
    execFileSync(outsideTool('dpkg-deb'), [...args, debianPackage], { encoding: 'utf8', maxBuffer: 16 * 1024 * 1024 });

  it('is read by dpkg-deb, with what it is and needs', () => {
    const fields = said('--field');
    expect(fields).toMatch(new RegExp(`^Package: flotilla-agent\nVersion: ${agentVersion}\nArchitecture: amd64$`, 'm'));
    expect(fields).toMatch(/^Depends: .*libc6 \(>= 2\.28\)/m);
  });

  it('has its files where Debian has such, all of them root’s', () => {
    const lines = said('--contents').trim().split('\n');
    for (const line of lines) expect(line).toMatch(/^\S+ root\/root /);
    const paths = lines.map((line) => line.split(/\s+/)[5] ?? '');
    const usual =
      /^\.\/(|etc\/(flotilla-agent\/.*)?|usr\/(|bin\/.*|lib\/(|flotilla-agent\/.*|systemd\/.*)|share\/(|doc\/.*)))$/;
    expect(paths.filter((path) => !usual.test(path))).toEqual([]);
    expect(lines.find((line) => line.includes('agent.yaml'))).toMatch(/^-rw-r----- /);
  });

  describe.runIf(isLinuxRoot)('in dpkg’s hands', () => {
    let root: EmptyRoot;
    const dpkg = (...args: readonly string[]): void => {
      // The root holds those programs, but no record of their packages.
      const options = [`--root=${root.folder}`, '--force-depends'];
      execFileSync(outsideTool('dpkg'), [...options, ...args], { stdio: 'pipe' });
    };

    beforeAll(async () => {
      root = await EmptyRoot.make();
      for (const folder of ['info', 'updates', 'triggers'])
        await mkdir(root.path(`var/lib/dpkg/${folder}`), { recursive: true });
      await writeFile(root.path('var/lib/dpkg/status'), '');
    });
    afterAll(() => root.remove());

    it('is installed, and starts; settings are the group’s to read and stay through an upgrade', async () => {
      dpkg('--install', debianPackage);
      expect(await root.run('flotilla-agent', '--version')).toBe(`${agentVersion}\n`);
      const group = /^flotilla-agent:x:(\d+):$/m.exec(readFileSync(root.path('etc/group'), 'utf8'))?.[1];
      const settings = root.path('etc/flotilla-agent/agent.yaml');
      expect([statSync(settings).mode & 0o7777, String(statSync(settings).gid)]).toEqual([0o640, group]);
      expect(statSync(root.path('var/lib/flotilla-agent')).mode & 0o7777).toBe(0o700);
      await writeFile(settings, 'scoring: { port: 9 }\n');
      await writeFile(root.path('var/lib/flotilla-agent/identity.json'), 'who it is');
      dpkg('--force-confold', '--install', debianPackage);
      expect(readFileSync(settings, 'utf8')).toBe('scoring: { port: 9 }\n');
    });

    it('leaves settings and state when it is removed, and nothing when it is purged', () => {
      dpkg('--remove', 'flotilla-agent');
      expect(existsSync(root.path('usr/lib/flotilla-agent'))).toBe(false);
      expect(existsSync(root.path('var/lib/flotilla-agent/identity.json'))).toBe(true);
      dpkg('--purge', 'flotilla-agent');
      for (const gone of ['var/lib/flotilla-agent', 'etc/flotilla-agent'])
        expect(existsSync(root.path(gone))).toBe(false);
      expect(readFileSync(root.path('etc/group'), 'utf8')).not.toContain('flotilla-agent');
    });
  });
});
