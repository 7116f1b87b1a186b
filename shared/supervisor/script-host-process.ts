/** The owner's end of a script host: one process that runs one module's user code. */
import { AppError, type Problem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { FromScriptHost, ScriptConfig, ToScriptHost } from '#shared/scoring/host-protocol.js';
import { HostChild, type ExitCause, type SpawnOptions } from './host-child.js';

export interface ScriptHostOptions extends SpawnOptions {
  readonly onDefer?: (forMs: number, reason: string) => void;
}

export class ScriptHostProcess {
  private readonly child: HostChild<ToScriptHost, FromScriptHost>;

  private constructor({ onDefer, ...options }: ScriptHostOptions) {
    this.child = new HostChild('the script host', options, (message) => {
      if (message.type === 'defer') onDefer?.(message.forMs, message.reason);
    });
  }

  static spawn(options: ScriptHostOptions): ScriptHostProcess {
    return new ScriptHostProcess(options);
  }

  /** 0 when the process could not be started. */
  get pid(): number {
    return this.child.pid ?? 0;
  }

  get exited(): Promise<ExitCause> {
    return this.child.exited;
  }

  /** Imports the script and runs its `init()`; then it answers on its socket. */
  start(config: ScriptConfig): Promise<Result<void, Problem>> {
    return this.child.ask({ type: 'start', config }, (message) => {
      if (message.type === 'ready') return ok(undefined);
      return message.type === 'start-failed' ? err(message.problem) : undefined;
    });
  }

  /** The scoring host was replaced: the script's models answer here from now on. */
  models(socket: string): void {
    this.child.send({ type: 'models', socket }).catch((error: unknown) => {
      // A process that is gone will be started with the new address.
      if (!(error instanceof AppError && error.code === 'process.failed')) throw error;
    });
  }

  /** Answers what is under way, then ends; killed after the timeout. */
  async drain(timeoutMs: number): Promise<void> {
    await Promise.allSettled([this.child.send({ type: 'drain' }), this.child.endWithin(timeoutMs)]);
  }

  kill(): Promise<void> {
    return this.child.kill();
  }
}
