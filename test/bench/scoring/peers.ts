/** Other people's servers, from where `test/bench/peers/install` put them, each with the same model in Python. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ownPort } from '#test/support/own-port.js';
import { repository } from '#test/support/scoring-harness.js';
import { processTree } from '../process-cost.js';
import type { PeerName } from './options.js';
import type { BenchServer } from './servers.js';
import { peersFolder } from './subjects.js';
import type { Form } from './wire.js';

const scripts = join(repository, 'test/bench/peers');
const endMs = 10_000;

interface Peer {
  readonly command: (port: number) => readonly string[];
  readonly env?: (port: number) => Readonly<Record<string, string>>;
  readonly paths: Readonly<Record<Form, string>>;
}

const peers: Readonly<Record<PeerName, Peer>> = {
  azureml: {
    command: (port) => ['azmlinfsrv', '--entry_script', join(scripts, 'azureml_score.py'), '--port', String(port)],
    paths: { JSON: '/score', binary: '/score' },
  },
  mlserver: {
    command: () => ['mlserver', 'start', join(scripts, 'mlserver')],
    env: (port) => ({
      MLSERVER_HOST: '127.0.0.1',
      MLSERVER_HTTP_PORT: String(port),
      MLSERVER_GRPC_PORT: '0',
      MLSERVER_METRICS_ENDPOINT: '',
      // In the server's own process: for one model its worker process is a hop more.
      MLSERVER_PARALLEL_WORKERS: '0',
    }),
    paths: { JSON: '/v2/models/bench/infer', binary: '/binary' },
  },
  litserve: {
    command: () => ['python', join(scripts, 'litserve_server.py')],
    env: (port) => ({ BENCH_PORT: String(port) }),
    paths: { JSON: '/predict', binary: '/predict' },
  },
  bentoml: {
    command: (port) => ['bentoml', 'serve', 'bentoml_service:Bench', '--host', '127.0.0.1', '--port', String(port)],
    env: () => ({ BENTOML_DO_NOT_TRACK: 'true' }),
    paths: { JSON: '/json', binary: '/binary/score' },
  },
};

/** Undefined where the peer is not installed. It may not answer yet: whoever checks its answers waits. */
export async function startPeer(
  name: PeerName,
  options: { readonly file: string; readonly folder: string; readonly core: string | undefined },
): Promise<BenchServer | undefined> {
  const bin = join(peersFolder, name, 'bin');
  if (!existsSync(bin)) return undefined;
  const peer = peers[name];
  const port = await ownPort();
  const [program = '', ...args] = peer.command(port);
  const command = [join(bin, program), ...args];
  const [first = '', ...rest] = options.core === undefined ? command : ['taskset', '-c', options.core, ...command];
  const child = spawn(first, rest, {
    // Some of them write files beside where they start.
    cwd: options.folder,
    stdio: ['ignore', 'ignore', process.env['BENCH_PEER_LOG'] === undefined ? 'ignore' : 'inherit'],
    env: {
      PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}`,
      HOME: options.folder,
      PYTHONPATH: scripts,
      PYTHONDONTWRITEBYTECODE: '1',
      OMP_NUM_THREADS: '1',
      BENCH_MODEL: options.file,
      ...peer.env?.(port),
    },
  });
  const pid = child.pid ?? 0;
  const killAll = (signal: NodeJS.Signals, pids = processTree(pid)): void => {
    for (const one of pids) kill(one, signal);
  };
  // However this process ends, short of SIGKILL.
  const atExit = (): void => killAll('SIGKILL');
  process.once('exit', atExit);
  const stop = async (): Promise<void> => {
    process.off('exit', atExit);
    const all = processTree(pid);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    kill(pid, 'SIGTERM');
    const timer = setTimeout(() => killAll('SIGKILL', all), endMs);
    await exited;
    clearTimeout(timer);
    killAll('SIGKILL', all.slice(1));
  };
  return { name, port, pid, pathOf: (form) => peer.paths[form], stop };
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone already.
  }
}
