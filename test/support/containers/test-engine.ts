/** A container engine for a test. A podman of its own: its socket, its images and its containers lie in one folder, and end with it. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '#shared/kernel/clock.js';
import { hasOutsideTools, outsideTool } from '../outside-tool.js';

export interface TestEngine {
  readonly socket: string;
  stop(): Promise<void>;
}

/** What an engine may set that is not root of the whole machine, as in a sandbox. */
const settings = `[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
`;

/** One that somebody started, such as Docker Engine: by the socket in FLOTILLA_TEST_ENGINE. Otherwise a podman. */
export async function startEngine(folder: string): Promise<TestEngine> {
  const given = givenEngine();
  return given === undefined ? startPodman(folder) : { socket: given, stop: async () => undefined };
}

export function hasEngine(): boolean {
  return givenEngine() !== undefined || hasOutsideTools('podman', 'runc');
}

function givenEngine(): string | undefined {
  const socket = process.env['FLOTILLA_TEST_ENGINE'];
  return socket === '' ? undefined : socket;
}

async function startPodman(folder: string): Promise<TestEngine> {
  const podman = outsideTool('podman');
  outsideTool('runc');
  mkdirSync(folder, { recursive: true });
  const [graph, socket] = [join(folder, 'graph'), join(folder, 'podman.sock')];
  const env = {
    PATH: `${process.env['PATH'] ?? ''}:/usr/sbin`,
    CONTAINERS_CONF: join(folder, 'containers.conf'),
    CONTAINERS_STORAGE_CONF: join(folder, 'storage.conf'),
  };
  writeFileSync(env.CONTAINERS_CONF, settings);
  const store = (driver: string): void => {
    const text = `[storage]\ndriver = "${driver}"\ngraphroot = "${graph}"\nrunroot = "${join(folder, 'run')}"\n`;
    writeFileSync(env.CONTAINERS_STORAGE_CONF, text);
  };
  store('overlay');
  try {
    execFileSync(podman, ['info'], { env, stdio: 'pipe' });
  } catch {
    // On an overlay itself, as within a container. Slower, and works everywhere.
    rmSync(graph, { recursive: true, force: true });
    store('vfs');
  }
  const child = spawn(podman, ['system', 'service', '--time', '0', `unix://${socket}`], {
    env,
    // Its monitors write where it runs.
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let said = '';
  child.stderr.on('data', (piece: Buffer) => (said = `${said}${piece.toString()}`.slice(-2000)));
  while (!existsSync(socket)) {
    if (child.exitCode !== null) throw new Error(`podman ended: ${said}`);
    await systemClock.sleep(20);
  }
  return {
    socket,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
      execFileSync(podman, ['rm', '--all', '--force', '--time', '0'], { env, stdio: 'pipe' });
      // It mounts its store on itself, and leaves it.
      spawnSync('umount', ['-q', join(graph, 'overlay')]);
    },
  };
}
