/** The owner's end of a script host: one process that runs one module's user code. */
import { AppError, type Problem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { Emission, FromScriptHost, ScriptConfig, ToScriptHost } from '#shared/scoring/host-protocol.js';
import type { ExitCause } from './exit-cause.js';
import { HostChild, type SpawnOptions } from './host-child.js';
import { type SocketHandle, bindSocket } from './listen-handle.js';
import { type Liveness, watchLiveness } from './liveness.js';

export interface ScriptHostOptions extends SpawnOptions {
  /** From when it answers; user code may keep its loop busy for a while. */
  readonly liveness?: Liveness;
  /** The script asks not to be replaced for so long. */
  readonly onDefer?: (forMs: number, reason: string) => void;
  readonly onEmission?: (emission: Emission) => void;
}

export class ScriptHostProcess {
  private readonly child: HostChild<ToScriptHost, FromScriptHost>;
  private socket: SocketHandle | undefined;

  private constructor(private readonly options: ScriptHostOptions) {
    this.child = new HostChild('the script host', { oomScore: 600, ...options }, (message) => {
      if (message.type === 'defer') options.onDefer?.(message.forMs, message.reason);
      else if (message.type === 'emit' || message.type === 'emit-lost') options.onEmission?.(message);
    });
    // Whoever asks next finds nobody there, instead of waiting in a queue that nobody serves.
    void this.child.exited.then(() => this.closeSocket());
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

  /**
   * Imports the script and runs its `init()`; then it answers on `socket`, which is bound here: it lies in
   * a folder that the script may not write, and only we may connect to it.
   */
  async start(config: ScriptConfig, socket: string): Promise<Result<void, Problem>> {
    this.socket = bindSocket(socket);
    const answer = await this.child.ask(
      { type: 'start', config },
      (message) => {
        if (message.type === 'ready') return ok(undefined);
        return message.type === 'start-failed' ? err(message.problem) : undefined;
      },
      this.socket.handle,
    );
    const { liveness } = this.options;
    if (answer.ok && liveness !== undefined) watchLiveness(this.child, { type: 'ping' }, liveness);
    return answer;
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
    this.closeSocket();
    await Promise.allSettled([this.child.send({ type: 'drain' }), this.child.endWithin(timeoutMs)]);
  }

  kill(): Promise<void> {
    return this.child.kill();
  }

  private closeSocket(): void {
    this.socket?.close();
    this.socket = undefined;
  }
}
