/** Starts what is measured over HTTP, each on the core of servers, and ends it again. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { dirname, basename } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { hostedModule, scoringHostEntry } from '#test/support/scoring-harness.js';
import { bindHandle } from '#shared/supervisor/listen-handle.js';
import { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';
import { pin } from '../cores.js';
import type { ServerName } from './options.js';
import type { Form } from './wire.js';

export interface BenchServer {
  readonly name: ServerName;
  readonly port: number;
  /** The first of its processes. */
  readonly pid: number;
  readonly pathOf: (form: Form) => string;
  readonly stop: () => Promise<void>;
}

export const maxBodyBytes = 64 * 1024 * 1024;

export async function startOurs(options: {
  readonly model: string;
  readonly file: string;
  readonly core: string | undefined;
  /** Folder for CPU profiles; undefined: none are taken. */
  readonly profile: string | undefined;
}): Promise<BenchServer> {
  const { model, file, core, profile } = options;
  const handle = bindHandle('127.0.0.1', 0);
  const profiler = pathToFileURL(fileURLToPath(new URL('./profiler.js', import.meta.url))).href;
  const host = ScoringHostProcess.spawn({
    entry: scoringHostEntry,
    env: {
      FLOTILLA_LOG_LEVEL: 'error',
      ...(profile === undefined ? {} : { NODE_OPTIONS: `--import ${profiler}`, BENCH_PROFILE_FOLDER: profile }),
    },
    onLog: (line) => console.error(line),
  });
  const stop = async (): Promise<void> => {
    await host.drain(10_000);
    handle.close();
  };
  try {
    pin(host.pid, core);
    const loaded = await host.load({
      modules: [hostedModule(dirname(file), basename(file), { name: model })],
      labels: {},
      maxBodyBytes,
    });
    if (!loaded.ok) throw new Error(loaded.error.problem.message);
    await host.listen(handle.handle);
  } catch (error) {
    await stop();
    throw error;
  }
  return { name: 'ours', port: handle.port, pid: host.pid, pathOf: () => v2Path(model), stop };
}

export async function startFixed(options: {
  readonly model: string;
  readonly bodyFile: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly core: string | undefined;
}): Promise<BenchServer> {
  const { model, bodyFile, headers, core } = options;
  const script = fileURLToPath(new URL('./fixed-server.js', import.meta.url));
  const child = spawnPinned(core, [process.execPath, script, bodyFile, JSON.stringify(headers)]);
  const line = await createInterface({ input: child.stdout ?? process.stdin })
    [Symbol.asyncIterator]()
    .next();
  if (line.done === true) throw new Error('the server of fixed bytes ended');
  const { port } = JSON.parse(line.value) as { readonly port: number };
  const stop = async (): Promise<void> => {
    const exited = once(child, 'exit');
    child.stdin?.end();
    await exited;
  };
  return { name: 'fixed', port, pid: child.pid ?? 0, pathOf: () => v2Path(model), stop };
}

function spawnPinned(core: string | undefined, command: readonly string[]): ChildProcess {
  const [program = '', ...args] = core === undefined ? command : ['taskset', '-c', core, ...command];
  return spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
}

export function v2Path(model: string): string {
  return `/v2/models/${model}/infer`;
}
