/**
 * A machine that systemd boots: this one's files, with its own changes above them, in a container of
 * systemd-nspawn. It has this machine's network. Needs root, and a kernel with overlayfs.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

export class BootedMachine {
  private container: ChildProcess | undefined;
  private leader = 0;

  private constructor(private readonly folder: string) {}

  /** Its files are there to be changed; it is not booted yet. */
  static async make(): Promise<BootedMachine> {
    const machine = new BootedMachine(await mkdtemp(join(tmpdir(), 'flotilla-booted-')));
    const layers = join(machine.folder, 'layers');
    await mkdir(layers);
    await mkdir(machine.root);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=2g', 'tmpfs', layers]);
    const [upper, work] = [join(layers, 'upper'), join(layers, 'work')];
    await mkdir(upper);
    await mkdir(work);
    await run('mount', [
      '-t',
      'overlay',
      '-o',
      `lowerdir=/,upperdir=${upper},workdir=${work}`,
      'overlay',
      machine.root,
    ]);
    // The daemons of this machine are no business of that one.
    await rm(join(machine.root, 'etc/systemd/system/multi-user.target.wants'), { recursive: true, force: true });
    // Images of containers forbid packages to start services; a machine does not.
    await rm(join(machine.root, 'usr/sbin/policy-rc.d'), { force: true });
    return machine;
  }

  get root(): string {
    return join(this.folder, 'root');
  }

  async boot(): Promise<void> {
    // A control group of its own, so that its systemd keeps its hands off ours.
    const groups = ['systemd', 'unified'].map((name) => `/sys/fs/cgroup/${name}`).filter((path) => existsSync(path));
    const own = groups.map((path) => join(path, this.groupName));
    for (const path of own) await mkdir(path);
    const entering = own.map((path) => `echo $$ >${path}/cgroup.procs; `).join('');
    const options = ['--register=no', '--keep-unit', '--boot', '--settings=no', '--link-journal=no', '--console=pipe'];
    const command = ['systemd-nspawn', `--directory=${this.root}`, '--quiet', '--capability=all', ...options];
    this.container = spawn('sh', ['-c', `${entering}exec "$@"`, 'boot', ...command], { stdio: 'ignore' });
    for (let attempt = 0; attempt < 300; attempt += 1) {
      const { pid } = this.container;
      const children = await readFile(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8').catch(() => '');
      this.leader = Number(children.trim().split(' ')[0]);
      // `degraded` where a unit that is none of ours failed.
      const state = this.leader > 0 ? await this.try('systemctl', 'is-system-running') : '';
      if (/running|degraded/.test(state)) {
        await this.lendControlGroups();
        return;
      }
      await pause(100);
    }
    throw new Error('systemd did not boot within 30 s');
  }

  /** Those of version 1 a container gets to look at alone; a machine of its own has them. */
  private async lendControlGroups(): Promise<void> {
    for (const name of ['memory', 'cpu', 'pids']) {
      const group = `/sys/fs/cgroup/${name}`;
      if (existsSync(group)) await this.run('mount', '-o', 'remount,bind,rw', group);
    }
  }

  /** @returns what it wrote to standard output */
  async run(...command: readonly string[]): Promise<string> {
    const env = { PATH: '/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin', HOME: '/root' };
    const { stdout } = await run('nsenter', ['--target', String(this.leader), '--all', ...command], { env });
    return stdout;
  }

  /** The same, whatever its exit code. */
  async try(...command: readonly string[]): Promise<string> {
    return this.run(...command).catch((error: unknown) => String((error as { stdout?: string }).stdout ?? ''));
  }

  async copy(from: string, path: string): Promise<void> {
    await copyFile(from, join(this.root, path));
  }

  async append(path: string, text: string): Promise<void> {
    await appendFile(join(this.root, path), text);
  }

  async remove(): Promise<void> {
    const { container } = this;
    if (container !== undefined && container.exitCode === null) {
      const ended = new Promise((resolve) => container.once('close', resolve));
      await this.try('systemctl', 'poweroff');
      const timer = setTimeout(() => container.kill('SIGKILL'), 20_000);
      await ended;
      clearTimeout(timer);
    }
    await run('umount', ['-l', this.root]);
    await run('umount', ['-l', join(this.folder, 'layers')]);
    for (const name of ['systemd', 'unified']) {
      const groups = `/sys/fs/cgroup/${name}/${this.groupName}`;
      await run('find', [groups, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';']).catch(() => undefined);
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  private get groupName(): string {
    return this.folder.slice(this.folder.lastIndexOf('/') + 1);
  }
}
