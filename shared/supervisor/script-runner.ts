/** The process of one module's user code, on a socket that stays the same over its restarts. */
import { chownSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { AppError, type Problem, toProblem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import { scoringOptionsOf } from '#shared/package/module-manifest.js';
import type { Emission } from '#shared/scoring/host-protocol.js';
import type { ExitCause } from './exit-cause.js';
import type { Dropped } from './log-budget.js';
import type { Cell, Sandbox } from './sandbox/sandbox.js';
import { ScriptHostProcess } from './script-host-process.js';
import { scriptConfigOf, scriptNeedsOf, type ServedModule } from './served-module.js';

export interface ScriptPorts {
  readonly entry: string;
  readonly runFolder: string;
  readonly maxBodyBytes: number;
  /** Absent: user code runs as this process does. For a person's own machine and own code. */
  readonly sandbox?: Sandbox | undefined;
  readonly onLog: (module: string, line: string) => void;
  /** It wrote more lines than are kept. */
  readonly onLogDropped?: (module: string, dropped: Dropped) => void;
  /** The process ended although nobody asked it to. */
  readonly onExit: (runner: ScriptRunner, cause: ExitCause) => void;
  /** The script asks not to be replaced for so long. */
  readonly onDefer?: (runner: ScriptRunner, forMs: number, reason: string) => void;
  /** The script gave something to an output. */
  readonly onEmission?: (runner: ScriptRunner, emission: Emission) => void;
}

/** Of how long a script may be silent, how often it is asked. */
const looksPerSilence = 4;

export class ScriptRunner {
  /** Its sockets lie here. Nobody but us writes in it. */
  private readonly folder: string;
  readonly socket: string;
  private child: ScriptHostProcess | undefined;
  private cell: Cell | undefined;

  constructor(
    readonly module: ServedModule,
    id: number,
    /** Tells this set's socket from that of the next. */
    private setId: number,
    private readonly ports: ScriptPorts,
  ) {
    this.folder = join(ports.runFolder, `s${String(id)}`);
    this.socket = join(this.folder, 'run.sock');
  }

  /** Where a set's scoring host answers for this module's models. */
  modelsSocketOf(setId: number): string {
    return join(this.folder, `m${String(setId)}.sock`);
  }

  /** Makes its place; a module that may not run here is refused. Done again, it does nothing. */
  prepare(): Result<void, Problem> {
    const { module, ports } = this;
    if (this.cell !== undefined) return ok(undefined);
    if (ports.sandbox === undefined) {
      mkdirSync(this.folder, { recursive: true, mode: 0o700 });
      return ok(undefined);
    }
    const recipe = ports.sandbox.plan(scriptNeedsOf(module));
    if (!recipe.ok) return recipe;
    this.cell = ports.sandbox.open({
      name: module.name,
      recipe: recipe.value,
      moduleFolder: module.folder,
      models: module.manifest.models.map(({ file }) => file),
      folder: this.folder,
    });
    const { missing } = recipe.value;
    if (missing.length > 0) ports.onLog(module.name, `its sandbox lacks ${missing.join(', ')} on this machine`);
    return ok(undefined);
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
    await this.endChild();
    const { ports, module } = this;
    const prepared = this.prepare();
    if (!prepared.ok) return prepared;
    const confinement = this.cell?.confine(ports.entry);
    const where = { ...module, folder: confinement?.moduleFolder ?? module.folder };
    const config = scriptConfigOf(where, this.modelsSocketOf(this.setId), ports.maxBodyBytes);
    if (config === undefined) return err({ code: 'module.invalid', message: `${module.name} has no script` });
    const silenceMs = scoringOptionsOf(module.manifest).script.maxBusyMs;
    const child = ScriptHostProcess.spawn({
      entry: ports.entry,
      confinement,
      liveness: { everyMs: Math.ceil(silenceMs / looksPerSilence), silenceMs },
      onLog: (line) => ports.onLog(module.name, line),
      onLogDropped: (dropped) => ports.onLogDropped?.(module.name, dropped),
      onDefer: (forMs, reason) => ports.onDefer?.(this, forMs, reason),
      onEmission: (emission) => ports.onEmission?.(this, emission),
    });
    this.child = child;
    const started = await child.start(config, this.socket).catch((error: unknown) => {
      if (error instanceof AppError) return err(toProblem(error));
      throw error;
    });
    if (!started.ok) {
      await this.endChild();
      return started;
    }
    void child.exited.then((cause) => {
      if (this.child !== child) return;
      this.child = undefined;
      ports.onExit(this, cause);
    });
    return ok(undefined);
  }

  /** The socket of a set's scoring host is there: its own user may open it, and no other module's. */
  admit(setId: number): void {
    const user = this.cell?.user;
    if (user !== undefined) chownSync(this.modelsSocketOf(setId), user, user);
  }

  /** The scoring host was replaced. */
  useModels(setId: number): void {
    this.setId = setId;
    this.child?.models(this.modelsSocketOf(setId));
  }

  async drain(timeoutMs: number): Promise<void> {
    const { child } = this;
    this.child = undefined;
    await child?.drain(timeoutMs);
    this.close();
  }

  async kill(): Promise<void> {
    await this.endChild();
    this.close();
  }

  private async endChild(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    await child?.kill();
  }

  private close(): void {
    this.cell?.close();
    this.cell = undefined;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
