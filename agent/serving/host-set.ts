/**
 * One scoring host with the script hosts of its modules: a serving set as processes. Script hosts of
 * versions that an earlier set runs already are shared with it, and outlive it.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ListenHandle } from '#shared/supervisor/listen-handle.js';
import { AppError, type Problem, toProblem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { LoadedModule } from '#shared/scoring/host-protocol.js';
import { type ExitCause, type HostStats, ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';
import { hasScript, hostedModuleOf, type ModuleVersion } from '#agent/serving/module-version.js';
import { type ScriptPorts, ScriptRunner } from '#agent/serving/script-runner.js';

export interface HostSetPorts extends ScriptPorts {
  readonly hostEntry: string;
  readonly onHostLog: (modules: readonly string[], line: string) => void;
  readonly nextId: () => number;
}

export interface LoadFailure {
  readonly module: string | undefined;
  readonly problem: Problem;
}

export class HostSet {
  readonly modelsSocket: string;
  readonly scripts: ReadonlyMap<string, ScriptRunner>;
  loaded: readonly LoadedModule[] = [];
  private readonly host: ScoringHostProcess;
  private readonly fresh: ScriptRunner[] = [];

  constructor(
    readonly versions: readonly ModuleVersion[],
    /** Runners that may be shared, by version key. */
    existing: ReadonlyMap<string, ScriptRunner>,
    ports: HostSetPorts,
  ) {
    this.modelsSocket = join(ports.runFolder, `m${String(ports.nextId())}.sock`);
    const scripts = new Map<string, ScriptRunner>();
    for (const version of versions.filter(hasScript)) {
      const shared = existing.get(version.name);
      if (shared !== undefined && shared.version.key === version.key) scripts.set(version.name, shared);
      else {
        const runner = new ScriptRunner(version, ports.nextId(), this.modelsSocket, ports);
        this.fresh.push(runner);
        scripts.set(version.name, runner);
      }
    }
    this.scripts = scripts;
    const names = versions.map(({ name }) => name);
    this.host = ScoringHostProcess.spawn({ entry: ports.hostEntry, onLog: (line) => ports.onHostLog(names, line) });
  }

  get exited(): Promise<ExitCause> {
    return this.host.exited;
  }

  get pid(): number {
    return this.host.pid;
  }

  /** Loads every model, then starts the scripts that do not run yet. Never throws. */
  async load(labels: Readonly<Record<string, string>>, maxBodyBytes: number): Promise<Result<void, LoadFailure>> {
    try {
      const modules = this.versions.map((version) => hostedModuleOf(version, this.scripts.get(version.name)?.socket));
      const loaded = await this.host.load({
        modules,
        labels,
        maxBodyBytes,
        ...(this.scripts.size === 0 ? {} : { modelsSocket: this.modelsSocket }),
      });
      if (!loaded.ok) return loaded;
      this.loaded = loaded.value;
      for (const runner of this.fresh) {
        const started = await runner.start();
        if (!started.ok) return err({ module: runner.version.name, problem: started.error });
      }
      return ok(undefined);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return err({ module: undefined, problem: toProblem(error) });
    }
  }

  async prove(module: string): Promise<Result<{ readonly vectors: number }, Problem>> {
    try {
      return await this.host.prove(module);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return err(toProblem(error));
    }
  }

  /** Takes requests from now on, and its shared scripts ask it for their models. */
  async listen(http: ListenHandle, grpc: ListenHandle | undefined): Promise<void> {
    await this.host.listen(http.handle);
    if (grpc !== undefined) await this.host.listenGrpc(grpc.handle);
    for (const runner of this.scripts.values()) runner.useModels(this.modelsSocket);
  }

  label(labels: Readonly<Record<string, string>>): void {
    this.host.labels(labels);
  }

  stats(): Promise<HostStats> {
    return this.host.stats();
  }

  /** Finishes what is under way. Scripts in `keep` go on. */
  async drain(timeoutMs: number, keep: ReadonlySet<ScriptRunner>): Promise<HostStats['modules']> {
    const { modules } = await this.host.drain(timeoutMs);
    await Promise.all([...this.scripts.values()].filter((one) => !keep.has(one)).map((one) => one.drain(timeoutMs)));
    await rm(this.modelsSocket, { force: true });
    return modules;
  }

  async kill(keep: ReadonlySet<ScriptRunner>): Promise<void> {
    await this.host.kill();
    await Promise.all([...this.scripts.values()].filter((one) => !keep.has(one)).map((one) => one.kill()));
    await rm(this.modelsSocket, { force: true });
  }
}
