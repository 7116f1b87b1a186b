import { chmod, lstat, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { agentProduct } from '#agent/installation/agent-product.js';
import {
  installService,
  type InstallationReport,
  removeService,
} from '#shared/platform/installation/service-installation.js';
import { smallRelease } from '../../support/installed/small-release.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const path = temporaryFolder();
let count = 0;
let root: string;
let program: string;

const install = (from = program): Promise<InstallationReport> =>
  installService(agentProduct, from, { root, print: false });
const outcomes = ({ steps }: InstallationReport): Set<string> => new Set(steps.map(({ outcome }) => outcome));
const inside = (name: string): string => `${root}/${name}`;
const exists = (name: string): Promise<boolean> => lstat(inside(name)).then(Boolean, () => false);

describe.runIf(process.platform === 'linux')('an agent installed into an image', () => {
  beforeEach(async () => {
    count += 1;
    root = path(`image-${String(count)}`);
    await mkdir(inside('etc'), { recursive: true });
    // So that no program is asked to make it: the number is its own, not this machine's.
    await writeFile(inside('etc/group'), 'root:x:0:\nflotilla-agent:x:4242:\n');
    program = await smallRelease(path(`release-${String(count)}`), '0.1.0');
  });

  it('has programs that a link leads to, settings and a unit that starts with the machine', async () => {
    await install();
    const release = await readlink(inside('opt/flotilla-agent/current'));
    expect(release).toMatch(/^releases\/0\.1\.0-[0-9a-f]{12}$/);
    expect(await readFile(inside(`opt/flotilla-agent/${release}/app/main.js`), 'utf8')).toBe("console.log('0.1.0')");
    expect((await stat(inside(`opt/flotilla-agent/${release}/bin/flotilla-agent`))).mode & 0o7777).toBe(0o755);
    expect(await readlink(inside('usr/local/bin/flotilla-agent'))).toBe(
      '/opt/flotilla-agent/current/bin/flotilla-agent',
    );
    const wants = 'etc/systemd/system/multi-user.target.wants/flotilla-agent.service';
    expect(await readFile(inside(wants), 'utf8')).toContain(
      'ExecStart=/opt/flotilla-agent/current/bin/flotilla-agent run',
    );
  });

  it.runIf(process.getuid?.() === 0)('has settings that the group may read, and state for root alone', async () => {
    await install();
    const settings = await stat(inside('etc/flotilla-agent/agent.yaml'));
    expect([settings.mode & 0o7777, settings.uid, settings.gid]).toEqual([0o640, 0, 4242]);
    const state = await stat(inside('var/lib/flotilla-agent'));
    expect([state.mode & 0o7777, state.uid]).toEqual([0o700, 0]);
  });

  it('is the same after a second time, and mends what was changed', async () => {
    expect(outcomes(await install())).toEqual(new Set(['done', 'unchanged']));
    expect(outcomes(await install())).toEqual(new Set(['unchanged']));
    await chmod(inside('var/lib/flotilla-agent'), 0o755);
    const release = await readlink(inside('opt/flotilla-agent/current'));
    await writeFile(inside(`opt/flotilla-agent/${release}/app/main.js`), 'torn by a power cut');
    const mended = (await install()).steps.filter(({ outcome }) => outcome === 'done').map(({ step }) => step);
    expect(mended).toEqual([
      `programs /opt/flotilla-agent/${release}`,
      'folder /var/lib/flotilla-agent 0700 root:root',
    ]);
  });

  it('is upgraded with its settings and state as they were, and the release before kept', async () => {
    await install();
    await writeFile(inside('etc/flotilla-agent/agent.yaml'), 'scoring: { port: 9 }\n');
    await writeFile(inside('var/lib/flotilla-agent/identity.json'), 'who it is');
    const first = await readlink(inside('opt/flotilla-agent/current'));
    for (const version of ['0.2.0', '0.3.0']) await install(await smallRelease(path(`newer-${version}`), version));
    const now = await readlink(inside('opt/flotilla-agent/current'));
    expect(now).toContain('0.3.0');
    const kept = await readdir(inside('opt/flotilla-agent/releases'));
    expect(kept.map((name) => name.slice(0, 5)).sort()).toEqual(['0.2.0', '0.3.0']);
    expect(kept).not.toContain(first.slice('releases/'.length));
    expect(await readFile(inside('etc/flotilla-agent/agent.yaml'), 'utf8')).toBe('scoring: { port: 9 }\n');
    expect(await readFile(inside('var/lib/flotilla-agent/identity.json'), 'utf8')).toBe('who it is');
  });

  it('stays as it is when the newer archive was not unpacked whole', async () => {
    await install();
    const before = await readlink(inside('opt/flotilla-agent/current'));
    const torn = await smallRelease(path('torn'), '0.2.0');
    await writeFile(path('torn/app/main.js'), 'cut sho');
    await expect(install(torn)).rejects.toMatchObject({ code: 'state.corrupt', message: /main\.js.*unpack it again/ });
    expect(await readlink(inside('opt/flotilla-agent/current'))).toBe(before);
    expect(await readdir(inside('opt/flotilla-agent/releases'))).toEqual([before.slice('releases/'.length)]);
  });

  it('goes, and its state only when asked', async () => {
    await install();
    await writeFile(inside('var/lib/flotilla-agent/identity.json'), 'who it is');
    await removeService(agentProduct, { root, print: false, purge: false });
    for (const gone of [
      'opt/flotilla-agent',
      'usr/local/bin/flotilla-agent',
      'etc/systemd/system/flotilla-agent.service',
    ])
      expect(await exists(gone)).toBe(false);
    expect(await exists('var/lib/flotilla-agent/identity.json')).toBe(true);
    expect(await exists('etc/flotilla-agent/agent.yaml')).toBe(true);
  });

  it('is not there after a look at what would be done', async () => {
    const report = await installService(agentProduct, program, { root, print: true });
    expect(outcomes(report)).toEqual(new Set(['planned']));
    expect(await readdir(root)).toEqual(['etc']);
  });

  it('is refused from a checkout, beside the Debian package, and into a folder that is not there', async () => {
    await expect(install(import.meta.url)).rejects.toMatchObject({ code: 'request.invalid', message: /archive/ });
    await mkdir(inside('var/lib/dpkg/info'), { recursive: true });
    await writeFile(inside('var/lib/dpkg/info/flotilla-agent.list'), '');
    await expect(install()).rejects.toMatchObject({ code: 'request.invalid', message: /dpkg looks after it/ });
    root = path('nowhere');
    await expect(install()).rejects.toMatchObject({ code: 'request.invalid', message: /no such folder/ });
  });

  it('follows no link of the image to files of this machine', async () => {
    const outside = path(`outside-${String(count)}`);
    await mkdir(outside);
    await symlink(outside, inside('opt'));
    await expect(install()).rejects.toMatchObject({ code: 'request.invalid', message: /leads out of the image/ });
    expect(await readdir(outside)).toEqual([]);
  });

  it('goes by links that stay in the image', async () => {
    await mkdir(inside('data/programs'), { recursive: true });
    await symlink('data/programs', inside('opt'));
    await install();
    expect(await readdir(inside('data/programs'))).toEqual(['flotilla-agent']);
  });

  it('writes over no program of somebody else', async () => {
    await mkdir(inside('usr/local/bin'), { recursive: true });
    await writeFile(inside('usr/local/bin/flotilla-agent'), 'not ours');
    await expect(install()).rejects.toMatchObject({ code: 'disk.failed', message: /no link of ours/ });
    expect(await readFile(inside('usr/local/bin/flotilla-agent'), 'utf8')).toBe('not ours');
  });
});
