/** The process of one module's user code, on a socket that stays the same over its restarts. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Problem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { ExitCause } from './scoring-host-process.js';
import { ScriptHostProcess } from './script-host-process.js';
import { scriptConfigOf, type ServedModule } from './served-module.js';

export interface ScriptPorts {
  readonly entry: string;
  readonly runFolder: string;
  readonly maxBodyBytes: number;
  readonly onLog: (module: string, line: string) => void;
  /** The process ended although nobody asked it to. */
  readonly onExit: (runner: ScriptRunner, cause: ExitCause) => void;
  /** The script asks not to be replaced for so long. */
  readonly onDefer?: (runner: ScriptRunner, forMs: number, reason: string) => void;
}

export class ScriptRunner {
  readonly socket: string;
  private child: ScriptHostProcess | undefined;

  constructor(
    readonly module: ServedModule,
    id: number,
    private modelsSocket: string,
    private readonly ports: ScriptPorts,
  ) {
    this.socket = join(ports.runFolder, `s${String(id)}.sock`);
  }

  /** 0 when it does not run. */
  get pid(): number {
    return this.child?.pid ?? 0;
  }

  get running(): boolean {
    return this.child !== undefined;
  }

  /** Begins anew when it runs already. */
  async start(): Promise<Result<void, Problem>> {
    await this.kill();
    await rm(this.socket, { force: true });
    const { ports, module } = this;
    const config = scriptConfigOf(module, this.socket, this.modelsSocket, ports.maxBodyBytes);
    if (config === undefined) return err({ code: 'module.invalid', message: `${module.name} has no script` });
    const child = ScriptHostProcess.spawn({
      entry: ports.entry,
      onLog: (line) => ports.onLog(module.name, line),
      onDefer: (forMs, reason) => ports.onDefer?.(this, forMs, reason),
    });
    this.child = child;
    const started = await child.start(config);
    if (!started.ok) {
      await this.kill();
      return started;
    }
    void child.exited.then((cause) => {
      if (this.child !== child) return;
      this.child = undefined;
      ports.onExit(this, cause);
    });
    return ok(undefined);
  }

  /** The scoring host was replaced. */
  useModels(socket: string): void {
    this.modelsSocket = socket;
    this.child?.models(socket);
  }

  async drain(timeoutMs: number): Promise<void> {
    const { child } = this;
    this.child = undefined;
    await child?.drain(timeoutMs);
    await rm(this.socket, { force: true });
  }

  async kill(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    await child?.kill();
  }
}
