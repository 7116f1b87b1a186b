/**
 * A machine's files with next to nothing in them: C library, a shell, coreutils and util-linux, as the smallest
 * Linux has them, and no Node. What runs in it sees nothing else of this machine. Needs root and Linux.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { findTool } from '../outside-tool.js';

const run = promisify(execFile);

const programs = [
  ...['sh', 'env', 'ls', 'cat', 'cp', 'mkdir', 'ln', 'rm', 'readlink', 'dirname', 'id', 'sleep', 'find', 'tar', 'gzip'],
  ...['mount', 'umount', 'pivot_root', 'chroot', 'unshare', 'setpriv', 'prlimit', 'groupadd', 'groupdel', 'sha256sum'],
  ...['getent', 'chgrp', 'chmod', 'stat'],
];
/** Beside the loader and the C library these are what Node's own builds ask for. */
const libraries = ['libstdc++.so.6', 'libgcc_s.so.1', 'libm.so.6', 'libdl.so.2', 'libpthread.so.0', 'librt.so.1'];

/** Becomes what follows, with the folder "$1" as its root. */
const enter = `set -eu
root=$1; shift
mount --make-rprivate /
mount --bind "$root" "$root"
for name in proc dev sys; do mount --rbind "/$name" "$root/$name"; done
cd "$root"
pivot_root . old
umount -l old
cd /
exec "$@"`;

export class EmptyRoot {
  private readonly running = new Set<ChildProcess>();

  private constructor(readonly folder: string) {}

  static async make(): Promise<EmptyRoot> {
    const root = new EmptyRoot(await mkdtemp(join(tmpdir(), 'flotilla-root-')));
    await root.fill();
    return root;
  }

  path(inside: string): string {
    return join(this.folder, inside);
  }

  /** @returns what it wrote to standard output; rejects with all that it wrote where it fails */
  async run(...command: readonly string[]): Promise<string> {
    const [file, ...args] = this.entering(command);
    try {
      const { stdout } = await run(file ?? '', args, { env: this.environment, maxBuffer: 16 * 1024 * 1024 });
      return stdout;
    } catch (error) {
      const { stdout, stderr } = error as { stdout?: string; stderr?: string };
      throw new Error(`${command.join(' ')}\n${stdout ?? ''}${stderr ?? String(error)}`, { cause: error });
    }
  }

  /** @returns stops it, and tells what it had written */
  start(...command: readonly string[]): () => Promise<string> {
    const [file, ...args] = this.entering(command);
    const child = spawn(file ?? '', args, { env: this.environment, stdio: ['ignore', 'pipe', 'pipe'] });
    this.running.add(child);
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (piece: string) => {
        text = (text + piece).slice(-65_536);
      });
    }
    const ended = new Promise<string>((resolve) => child.once('close', () => resolve(text)));
    return () => {
      child.kill('SIGTERM');
      this.running.delete(child);
      return ended;
    };
  }

  async remove(): Promise<void> {
    for (const child of this.running) child.kill('SIGKILL');
    await rm(this.folder, { recursive: true, force: true });
  }

  private readonly environment = { PATH: '/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin', HOME: '/' };

  private entering(command: readonly string[]): string[] {
    return ['unshare', '--mount', '--', 'sh', '-c', enter, 'enter', this.folder, ...command];
  }

  private async fill(): Promise<void> {
    // A root that its owner alone may enter is none.
    await chmod(this.folder, 0o755);
    for (const name of ['etc', 'proc', 'dev', 'sys', 'old', 'tmp', 'usr/bin', 'usr/sbin', 'usr/lib', 'usr/lib64']) {
      await mkdir(this.path(name), { recursive: true });
    }
    for (const name of ['bin', 'sbin', 'lib', 'lib64']) await symlink(`usr/${name}`, this.path(name));
    const found = programs.map((name) => findTool(name) ?? `/usr/sbin/${name}`);
    const files = new Map<string, string>();
    for (const path of found) files.set(path, await realpath(path));
    for (const path of await librariesOf([...files.values()])) files.set(path, await realpath(path));
    for (const [path, source] of files) {
      await mkdir(dirname(this.path(path)), { recursive: true });
      await copyFile(source, this.path(path));
    }
    await writeFile(this.path('etc/passwd'), 'root:x:0:0::/:/bin/sh\n');
    await writeFile(this.path('etc/group'), 'root:x:0:\n');
    await writeFile(this.path('etc/hosts'), '127.0.0.1 localhost\n');
  }
}

async function librariesOf(files: readonly string[]): Promise<string[]> {
  const { stdout } = await run('ldd', [...files]);
  const used = [...stdout.matchAll(/(\/[^\s:()]+\.so[^\s:()]*) \(0x/g)].map(([, path = '']) => path);
  const folder = dirname(used.find((path) => path.includes('/libc.so')) ?? '/usr/lib/libc.so.6');
  return [...new Set([...used, ...libraries.map((name) => join(folder, name))])];
}
