/**
 * One scoring host with the script hosts of its modules: a serving set as processes. Script hosts of
 * versions that an earlier set runs already are shared with it, and outlive it.
 */
import { rm } from 'node:fs/promises';
import { AppError, type Problem, toProblem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import { startLevels } from '#shared/kernel/start-order.js';
import type { HostAccess } from '#shared/scoring/access/host-access.js';
import type { HostConfig, LoadedModule } from '#shared/scoring/host-protocol.js';
import type { HostTraffic } from '#shared/scoring/traffic/traffic-schema.js';
import type { EarlyHost } from './early-host.js';
import type { ExitCause } from './exit-cause.js';
import type { ListenHandle } from './listen-handle.js';
import { ranOnLines } from './ran-on.js';
import { residentBytes } from '#shared/platform/resident-memory.js';
import { missedBound, proofNumbers } from './golden-bounds.js';
import { type HostStats, ScoringHostProcess } from './scoring-host-process.js';
import type { Confinement } from './sandbox/confinement.js';
import { type ScriptPorts, ScriptRunner } from './script-runner.js';
import { hasScript, hostedModuleOf, type ServedModule } from './served-module.js';

/** What a host is told beside its modules. */
export type HostSettings = Omit<HostConfig, 'modules'>;

export interface HostSetPorts extends ScriptPorts {
  readonly hostEntry: string;
  /** Added to the minimal environment of scoring hosts: where they find drivers and libraries. */
  readonly hostEnvironment?: Readonly<Record<string, string>>;
  /** How many of this machine's cores hosts may use. */
  readonly cores: number;
  /** The bounds of scoring hosts; absent: they have what this process has. */
  readonly confineHost?: () => Confinement;
  /** A host that was started ahead, with the same entry and environment. */
  readonly earlyHost?: EarlyHost | undefined;
  readonly onHostLog: (modules: readonly string[], line: string) => void;
  readonly nextId: () => number;
}

export interface ListenHandles {
  readonly http: ListenHandle;
  /** Absent: gRPC is not served. */
  readonly grpc?: ListenHandle | undefined;
}

export interface LoadFailure {
  readonly module: string | undefined;
  readonly problem: Problem;
}

export interface Proved {
  readonly vectors: number;
  readonly numbers: Readonly<Record<string, number>>;
}

export class HostSet {
  /** By the id of their module. */
  readonly scripts: ReadonlyMap<string, ScriptRunner>;
  loaded: readonly LoadedModule[] = [];
  /** Its scoring host has ended. */
  ended = false;
  /** Tells its sockets from those of the set before. */
  private readonly id: number;
  private readonly host: ScoringHostProcess;
  private readonly fresh: ScriptRunner[] = [];

  /** In the order in which they start; several versions of one name start together. */
  readonly modules: readonly ServedModule[];
  private readonly levels: readonly (readonly string[])[];

  constructor(
    unordered: readonly ServedModule[],
    /** Runners that may be shared. */
    existing: ReadonlyMap<string, ScriptRunner>,
    private readonly ports: HostSetPorts,
  ) {
    this.id = ports.nextId();
    const of = (name: string) => unordered.filter((one) => one.name === name).flatMap((one) => one.startAfter ?? []);
    this.levels = startLevels(Object.fromEntries(unordered.map(({ name }) => [name, of(name)])));
    const modules = this.levels.flatMap((names) => unordered.filter(({ name }) => names.includes(name)));
    this.modules = modules;
    const scripts = new Map<string, ScriptRunner>();
    for (const module of modules.filter(hasScript)) {
      const shared = existing.get(module.id);
      if (shared !== undefined) scripts.set(module.id, shared);
      else {
        const runner = new ScriptRunner(module, ports.nextId(), this.id, ports);
        this.fresh.push(runner);
        scripts.set(module.id, runner);
      }
    }
    this.scripts = scripts;
    const names = modules.map(({ name }) => name);
    const onLog = (line: string): void => ports.onHostLog(names, line);
    this.host =
      ports.earlyHost?.take(onLog) ??
      ScoringHostProcess.spawn({
        entry: ports.hostEntry,
        ...(ports.hostEnvironment === undefined ? {} : { env: ports.hostEnvironment }),
        confinement: ports.confineHost?.(),
        onLog,
      });
    void this.host.exited.then(() => {
      this.ended = true;
    });
  }

  get exited(): Promise<ExitCause> {
    return this.host.exited;
  }

  /** Where one version of each name is served. */
  scriptOf(name: string): ScriptRunner | undefined {
    return [...this.scripts.values()].find(({ module }) => module.name === name);
  }

  get pid(): number {
    return this.host.pid;
  }

  /** Loads every model, then starts the scripts that do not run yet. Never throws. */
  async load(settings: HostSettings): Promise<Result<void, LoadFailure>> {
    try {
      for (const runner of this.fresh) {
        const prepared = runner.prepare();
        if (!prepared.ok) return err({ module: runner.module.name, problem: prepared.error });
      }
      const modules = this.modules.map((one) => {
        const runner = this.scripts.get(one.id);
        const sockets = runner && { scriptSocket: runner.socket, modelsSocket: runner.modelsSocketOf(this.id) };
        return hostedModuleOf(one, this.ports.cores, sockets);
      });
      const loaded = await this.host.load({ ...settings, modules });
      if (!loaded.ok) return loaded;
      for (const runner of this.scripts.values()) runner.admit(this.id);
      this.loaded = loaded.value;
      for (const module of loaded.value)
        for (const line of ranOnLines(module)) this.ports.onHostLog([module.name], line);
      for (const runner of this.fresh) {
        const started = await runner.start();
        if (!started.ok) return err({ module: runner.module.name, problem: started.error });
      }
      return ok(undefined);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return err({ module: undefined, problem: toProblem(error) });
    }
  }

  /** @param version the newest when absent */
  async prove(module: string, version?: number): Promise<Result<Proved, Problem>> {
    try {
      const proved = await this.host.prove(module, version);
      if (!proved.ok) return proved;
      const script = this.scriptOf(module);
      const scriptBytes = script === undefined ? 0 : ((await residentBytes(script.pid)) ?? 0);
      const measured = { ...proved.value, memoryBytes: proved.value.memoryBytes + scriptBytes };
      const served = this.modules.find((one) => one.name === module && (version ?? one.version) === one.version);
      const missed = served === undefined ? undefined : missedBound(served.manifest, measured);
      if (missed !== undefined) return err(missed);
      return ok({ vectors: measured.vectors, numbers: proofNumbers(measured.vectors, measured) });
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return err(toProblem(error));
    }
  }

  /** Takes requests from now on, and its shared scripts ask it for their models. */
  async listen({ http, grpc }: ListenHandles): Promise<void> {
    // First, so that a handover that fails has not begun.
    if (grpc !== undefined) await this.host.listenGrpc(grpc.handle);
    await this.host.listen(http.handle);
    for (const runner of this.scripts.values()) runner.useModels(this.id);
  }

  label(labels: Readonly<Record<string, string>>): void {
    this.host.labels(labels);
  }

  /** Resolves once it holds, or the host is gone. */
  async setAccess(access: HostAccess): Promise<void> {
    try {
      await this.host.access(access);
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'process.failed')) throw error;
    }
  }

  /**
   * Replaces the rules of traffic, all at once.
   *
   * @throws AppError `config.invalid` for rules that the host cannot keep: the old ones stay; `process.failed`
   */
  traffic(traffic: HostTraffic): Promise<void> {
    return this.host.traffic(traffic);
  }

  stats(): Promise<HostStats> {
    return this.host.stats();
  }

  /** Stops accepting, finishes what is under way, and stays loaded with its scripts: {@link listen} goes on. */
  pause(): Promise<HostStats> {
    return this.host.pause();
  }

  /** What the script processes hold that `other` does not run as well; resident bytes. */
  async scriptBytes(other: HostSet): Promise<number> {
    const own = [...this.scripts].filter(([id]) => !other.scripts.has(id));
    const sizes = await Promise.all(own.map(([, runner]) => residentBytes(runner.pid)));
    return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
  }

  /** Finishes what is under way, then ends scripts, those that started last first. Scripts in `keep` go on. */
  async drain(timeoutMs: number, keep: ReadonlySet<ScriptRunner>): Promise<HostStats['modules']> {
    const { modules } = await this.host.drain(timeoutMs);
    const ending = [...this.scripts.values()].filter((one) => !keep.has(one));
    const levels = this.levels.map((names) => ending.filter(({ module }) => names.includes(module.name)));
    const within = timeoutMs / Math.max(1, levels.filter(({ length }) => length > 0).length);
    for (const level of levels.toReversed()) await Promise.all(level.map((one) => one.drain(within)));
    await this.removeSockets();
    return modules;
  }

  async kill(keep: ReadonlySet<ScriptRunner>): Promise<void> {
    await this.host.kill();
    await Promise.all([...this.scripts.values()].filter((one) => !keep.has(one)).map((one) => one.kill()));
    await this.removeSockets();
  }

  private async removeSockets(): Promise<void> {
    for (const runner of this.scripts.values()) await rm(runner.modelsSocketOf(this.id), { force: true });
  }
}
