/**
 * The built programs as separate processes: daemons that stay up, commands that end. What a program
 * wrote is kept, so that a failing step can say why.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';

/** Where each program's entry is below the folder of the build. */
const entries = { flotilla: 'cloud/cli/main.js', 'flotilla-agent': 'agent/cli/main.js' } as const;
export type ProgramName = keyof typeof entries;

export class ProgramFailed extends Error {
  constructor(
    readonly commandLine: string,
    readonly exit: string,
    readonly output: string,
  ) {
    super(`${commandLine} ended with ${exit}${output === '' ? '' : `\n${output}`}`);
  }
}

export type Environment = Readonly<Record<string, string>>;

export interface Launch {
  /** The folder of the build. */
  readonly build: string;
  readonly name: ProgramName;
  /** In the place of the program's own entry, below the folder of the build. */
  readonly entry?: string;
  readonly args: readonly string[];
  /** Everything the program sees but PATH. */
  readonly env: Environment;
  /** A program that becomes this one, with its arguments: for example what enters a namespace. */
  readonly prefix?: readonly string[];
}

/** Runs a command to its end and gives its standard output. */
export async function runProgram(launch: Launch): Promise<string> {
  const child = start(launch);
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-8192);
  });
  const exit = await ended(child);
  if (exit !== '0') throw new ProgramFailed(commandLine(launch), exit, (stderr + stdout).trim());
  return stdout;
}

/** A daemon: started, asked to stop, and known to have ended. */
export class Daemon {
  private recent = '';
  private readonly child: ChildProcess;
  readonly exited: Promise<string>;

  constructor(private readonly launch: Launch) {
    this.child = start(launch);
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.recent = (this.recent + text).slice(-65_536);
      });
    }
    this.exited = ended(this.child);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The last of what it wrote, both streams. */
  get output(): string {
    return this.recent;
  }

  /** Waits for `probe` to give a value; rejects when the daemon ends first or time runs out. */
  async until<T>(what: string, timeoutMs: number, probe: () => Promise<T | undefined> | T | undefined): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    let exit: string | undefined;
    void this.exited.then((value) => {
      exit = value;
    });
    for (;;) {
      const value = await probe();
      if (value !== undefined) return value;
      if (exit !== undefined) throw new ProgramFailed(commandLine(this.launch), exit, this.recent.trim());
      if (performance.now() > deadline) {
        throw new Error(
          `${this.launch.name} was not ${what} within ${String(timeoutMs / 1000)} s\n${this.recent.trim()}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** SIGTERM, and SIGKILL when that does not end it within the time given. */
  async stop(timeoutMs = 15_000): Promise<string> {
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), timeoutMs);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }
}

function commandLine({ name, args }: Launch): string {
  return [name, ...args].join(' ');
}

function start({ build, name, entry = entries[name], args, env, prefix = [] }: Launch): ChildProcess {
  const [program = process.execPath, ...rest] = [...prefix, process.execPath, join(build, entry), ...args];
  return spawn(program, rest, {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Ctrl-C reaches the whole terminal group; the quickstart stops its daemons itself, in order.
    detached: true,
  });
}

function ended(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ?? String(code)));
  });
}
