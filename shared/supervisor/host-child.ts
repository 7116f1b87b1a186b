/**
 * A Node child process with a typed message channel. Invariants: the child starts with a minimal
 * environment (nothing of ours leaks to user code); every question to it ends, by its answer or by its
 * exit; `exited` always resolves, once, with the last lines that it wrote.
 */
import { fork, type ChildProcess, type SendHandle } from 'node:child_process';
import { type Clock, systemClock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { causeText, type ExitCause, judgeExit, type Verdict } from './exit-cause.js';
import { LineTail } from './line-tail.js';
import { type Dropped, LogBudget, usualLogRate } from './log-budget.js';
import { watchResources } from './resource-watch.js';
import type { Confinement } from './sandbox/confinement.js';
import { sacrificeFirst } from './sandbox/sandbox.js';

export interface SpawnOptions {
  /** Path of the built entry: `dist/shared/scoring/host/main.js` or `…/script-host/main.js`. */
  readonly entry: string;
  readonly arguments?: readonly string[];
  /** Added to the minimal environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Each line that the process writes to its standard output or error, as many as {@link usualLogRate} keeps. */
  readonly onLog: (line: string) => void;
  /** Lines that were too many. */
  readonly onLogDropped?: (dropped: Dropped) => void;
  /** The bounds that it runs in; absent: it has what this process has. */
  readonly confinement?: Confinement | undefined;
  /** How soon the kernel is to choose it when memory runs out, above us: 0 to 1000. */
  readonly oomScore?: number;
  readonly clock?: Clock;
}

interface Waiter<From> {
  readonly offer: (message: From) => boolean;
  readonly fail: (cause: ExitCause) => void;
}

/** After the exit, output may still be under way in the pipes; a grandchild may hold them for ever. */
const outputGraceMs = 500;

export class HostChild<To extends object, From extends object> {
  readonly exited: Promise<ExitCause>;
  private readonly child: ChildProcess;
  private readonly waiters: Waiter<From>[] = [];
  private readonly tail: LineTail;
  private readonly stopWatching: () => void;
  private ended: ExitCause | undefined;
  private verdict: Verdict | undefined;

  constructor(
    private readonly name: string,
    private readonly options: SpawnOptions,
    /** What it says without being asked. */
    private readonly onUnasked: (message: From) => void = () => undefined,
  ) {
    const { confinement, clock = systemClock } = options;
    const launcher = confinement?.launcher;
    this.child = fork(options.entry, options.arguments ?? [], {
      env: { ...minimalEnvironment(options.env ?? {}), ...confinement?.environment },
      ...(launcher === undefined ? {} : { execPath: launcher.file, cwd: '/' }),
      execArgv: [...(launcher?.args ?? [])],
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    const now = (): number => clock.monotonic();
    this.tail = new LineTail({
      onLine: options.onLog,
      onDropped: options.onLogDropped ?? (() => undefined),
      budget: new LogBudget(usualLogRate, now()),
      now,
    });
    const { tail, child } = this;
    if (child.stdout) tail.read(child.stdout);
    if (child.stderr) tail.read(child.stderr);
    child.on('message', (message) => this.receive(message as From));
    this.stopWatching = this.watch(options);
    this.exited = exitOf(child, tail).then((seen) => this.end(seen.code, seen.signal));
  }

  /** Undefined when the process could not be started: `exited` says why. */
  get pid(): number | undefined {
    return this.child.pid;
  }

  /** @throws AppError `process.failed` when the process is gone */
  async send(message: To, handle?: SendHandle): Promise<void> {
    if (this.ended) throw this.failure(this.ended);
    await new Promise<void>((resolve, reject) => {
      this.child.send(message, handle, {}, (error) => {
        if (error === null) resolve();
        else reject(new AppError('process.failed', `${this.name} cannot be reached`, { cause: error }));
      });
    });
  }

  /**
   * The next message that `pick` accepts (returns something other than undefined for). Ask before
   * sending the question. Questions of one kind are answered in the order in which they were asked.
   *
   * @throws AppError `process.failed` when the process ends first
   */
  next<T>(pick: (message: From) => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.ended) {
        reject(this.failure(this.ended));
        return;
      }
      this.waiters.push({
        offer: (message) => {
          const picked = pick(message);
          if (picked === undefined) return false;
          resolve(picked);
          return true;
        },
        fail: (cause) => reject(this.failure(cause)),
      });
    });
  }

  /** Asks, and waits for the answer. */
  async ask<T>(question: To, pick: (message: From) => T | undefined, handle?: SendHandle): Promise<T> {
    const answer = this.next(pick);
    // The answer fails as well when the process is gone; one report of it is enough.
    const [sent, answered] = await Promise.allSettled([this.send(question, handle), answer]);
    if (answered.status === 'fulfilled') return answered.value;
    throw sent.status === 'rejected' ? sent.reason : answered.reason;
  }

  /** Ends it, and says why whoever asks. */
  condemn(verdict: Verdict): void {
    this.verdict ??= verdict;
    this.child.kill('SIGKILL');
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** Waits for the process to end by itself, and kills it after `timeoutMs`. */
  async endWithin(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => this.child.kill('SIGKILL'), timeoutMs);
    await this.exited;
    clearTimeout(timer);
  }

  private receive(message: From): void {
    const index = this.waiters.findIndex((waiter) => waiter.offer(message));
    if (index >= 0) this.waiters.splice(index, 1);
    else this.onUnasked(message);
  }

  private watch({ confinement, oomScore }: SpawnOptions): () => void {
    const { pid } = this.child;
    if (pid === undefined) return () => undefined;
    if (oomScore !== undefined) sacrificeFirst(pid, oomScore);
    if (confinement === undefined) return () => undefined;
    return watchResources(pid, confinement.watched, (verdict) => this.condemn(verdict));
  }

  private async end(code: number | null, signal: NodeJS.Signals | null): Promise<ExitCause> {
    this.stopWatching();
    const { confinement } = this.options;
    const cause = judgeExit({
      code,
      signal,
      lastLines: this.tail.lines,
      started: this.child.pid !== undefined,
      verdict: this.verdict,
      limits: confinement?.limits,
      story: await confinement?.end(),
    });
    this.ended = cause;
    for (const waiter of this.waiters.splice(0)) waiter.fail(cause);
    return cause;
  }

  private failure(cause: ExitCause): AppError {
    const { kind, code, signal, lastLines, numbers } = cause;
    return new AppError('process.failed', `${this.name} ended (${causeText(cause)})`, {
      details: { kind, code, signal, lastLines, numbers },
    });
  }
}

/**
 * The path to find programs by, and nothing else of ours: no NODE_OPTIONS, no HOME, no tokens.
 * Telemetry of onnxruntime is off before it can load.
 */
function minimalEnvironment(extra: Readonly<Record<string, string>>): Record<string, string> {
  const path = process.env['PATH'];
  return { ...(path === undefined ? {} : { PATH: path }), ...extra, ORT_DISABLE_TELEMETRY: '1' };
}

function exitOf(
  child: ChildProcess,
  tail: LineTail,
): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }> {
  return new Promise((resolve) => {
    let grace: NodeJS.Timeout | undefined;
    const done = (code: number | null, signal: NodeJS.Signals | null): void => {
      clearTimeout(grace);
      resolve({ code, signal });
    };
    child.once('exit', (code, signal) => {
      grace = setTimeout(() => done(code, signal), outputGraceMs);
    });
    child.once('close', done);
    child.on('error', (error) => {
      tail.add(error.message);
      // Emitted for a failed send or kill as well, where the process lives on.
      if (child.pid === undefined) done(null, null);
    });
  });
}
