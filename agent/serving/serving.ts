/**
 * The sets of host processes that there are: the one that answers, the candidate, and the one that was
 * replaced and finishes. All take turns on one handle, so that no connection is refused in between.
 * It does what the reconciler's actions ask, and tells what happened as facts; it decides nothing.
 */
import { AppError, type Problem, toProblem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { HostAccess } from '#shared/scoring/access/host-access.js';
import type { ListenHandle } from '#shared/supervisor/listen-handle.js';
import type { ExitCause } from '#shared/supervisor/exit-cause.js';
import type { Dropped } from '#shared/supervisor/log-budget.js';
import type { Sandbox } from '#shared/supervisor/sandbox/sandbox.js';
import type { ModuleStats } from '#agent/telemetry/collector.js';
import type { HostEnvironment } from '#agent/providers/loader-environment.js';
import type { HostEntries } from '#shared/supervisor/host-entries.js';
import { HostSet, type HostSetPorts, type HostSettings, type LoadFailure } from '#shared/supervisor/host-set.js';
import type { ScriptRunner } from '#shared/supervisor/script-runner.js';
import { type ModuleVersion, servedModuleOf } from '#agent/serving/module-version.js';

export interface ServingPorts {
  readonly entries: HostEntries;
  readonly hostEnvironment: HostEnvironment;
  readonly handle: ListenHandle;
  /** For gRPC; undefined: none. */
  readonly grpcHandle: ListenHandle | undefined;
  readonly runFolder: string;
  /** The bounds of user code. */
  readonly sandbox: Sandbox;
  readonly cores: number;
  readonly settings: Omit<HostSettings, 'labels'>;
  readonly drainMs: number;
  /** Provenance of answers: what is committed, or what the candidate will stand for. */
  readonly labels: (of: 'committed' | 'desired') => Readonly<Record<string, string>>;
  readonly onHostExit: (cause: ExitCause) => void;
  readonly onScriptExit: (module: string, cause: ExitCause) => void;
  readonly onCandidateExit: (cause: ExitCause) => void;
  readonly onLog: (modules: readonly string[], line: string) => void;
  /** A module wrote more lines than are kept. */
  readonly onLogDropped: (module: string, dropped: Dropped) => void;
  /** The last counts of a host that went. */
  readonly onLastStats: (modules: ModuleStats) => Promise<void>;
}

/** A start that a later start ended; whoever asked for it does nothing. */
const superseded = err<LoadFailure>({
  module: undefined,
  problem: { code: 'request.aborted', message: 'the host was started anew' },
});

export class Serving {
  private current: HostSet | undefined;
  private candidate: HostSet | undefined;
  private starting: HostSet | undefined;
  private retired: HostSet | undefined;
  private ids = 0;

  constructor(private readonly ports: ServingPorts) {}

  /** What really runs each module that answers. */
  get providers(): ReadonlyMap<string, string> {
    return new Map((this.current?.loaded ?? []).map(({ name, provider }) => [name, provider]));
  }

  scriptsOf(which: 'current' | 'candidate'): string[] {
    return [...(this[which]?.scripts.values() ?? [])].map(({ module }) => module.name);
  }

  /** Starts the answering set anew; script hosts that run go on. */
  async start(versions: readonly ModuleVersion[]): Promise<Result<void, LoadFailure>> {
    const before = this.current;
    const hung = this.starting;
    this.current = undefined;
    const set = this.spawn(versions, before?.scripts ?? new Map());
    this.starting = set;
    await hung?.kill(new Set());
    await before?.kill(new Set(set.scripts.values()));
    const loaded = await set.load({ ...this.ports.settings, labels: this.ports.labels('committed') });
    if (this.starting !== set) return superseded;
    this.starting = undefined;
    if (!loaded.ok) {
      await set.kill(new Set());
      return loaded;
    }
    const listening = await this.listen(set);
    if (!listening.ok) return listening;
    this.current = set;
    this.watch(set);
    return loaded;
  }

  async startScript(module: string): Promise<Result<void, Problem> | undefined> {
    return this.current?.scriptOf(module)?.start();
  }

  async prepare(versions: readonly ModuleVersion[]): Promise<Result<void, LoadFailure>> {
    await this.discardCandidate();
    const set = this.spawn(versions, this.current?.scripts ?? new Map());
    this.candidate = set;
    this.watch(set);
    return set.load({ ...this.ports.settings, labels: this.ports.labels('desired') });
  }

  async prove(module: string): Promise<Result<{ readonly vectors: number }, Problem>> {
    if (this.candidate === undefined) {
      return { ok: false, error: { code: 'process.failed', message: 'the candidate host is gone' } };
    }
    return this.candidate.prove(module);
  }

  async discardCandidate(): Promise<void> {
    const { candidate } = this;
    this.candidate = undefined;
    await candidate?.kill(new Set(this.current?.scripts.values() ?? []));
  }

  /** Both accept from the same handle until the old one is drained. @returns false when there is no candidate */
  async switchOver(): Promise<boolean> {
    const { candidate } = this;
    if (candidate === undefined) return false;
    candidate.label(this.ports.labels('desired'));
    await candidate.listen({ http: this.ports.handle, grpc: this.ports.grpcHandle });
    await this.dropRetired();
    this.retired = this.current;
    this.current = candidate;
    this.candidate = undefined;
    return true;
  }

  async dropRetired(): Promise<void> {
    const { retired } = this;
    this.retired = undefined;
    if (retired === undefined) return;
    const keep = new Set(this.current?.scripts.values() ?? []);
    await this.ports.onLastStats(await retired.drain(this.ports.drainMs, keep));
  }

  /** Hosts that are started later read it from their settings. */
  async setAccess(access: HostAccess): Promise<void> {
    const all = [this.current, this.candidate, this.starting, this.retired];
    const sets = all.filter((set) => set !== undefined);
    await Promise.all(sets.map((set) => set.setAccess(access)));
  }

  relabel(): void {
    this.current?.label(this.ports.labels('committed'));
  }

  async stats(): Promise<{ readonly modules: ModuleStats; readonly rssBytes: number }> {
    const { current } = this;
    // A host that ends in this moment has no counts to give; its exit is told elsewhere.
    const none = { modules: [], rssBytes: 0 };
    return current === undefined ? none : current.stats().catch(() => none);
  }

  async stop(): Promise<void> {
    const { current, starting } = this;
    this.starting = undefined;
    await starting?.kill(new Set());
    await this.discardCandidate();
    await this.dropRetired();
    this.current = undefined;
    if (current !== undefined) await this.ports.onLastStats(await current.drain(this.ports.drainMs, new Set()));
  }

  private async listen(set: HostSet): Promise<Result<void, LoadFailure>> {
    try {
      await set.listen({ http: this.ports.handle, grpc: this.ports.grpcHandle });
      return ok(undefined);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      await set.kill(new Set());
      return err({ module: undefined, problem: toProblem(error) });
    }
  }

  private spawn(versions: readonly ModuleVersion[], existing: ReadonlyMap<string, ScriptRunner>): HostSet {
    const { ports } = this;
    const setPorts: HostSetPorts = {
      entry: ports.entries.scriptHost,
      hostEntry: ports.entries.scoringHost,
      hostEnvironment: ports.hostEnvironment,
      runFolder: ports.runFolder,
      sandbox: ports.sandbox,
      cores: ports.cores,
      maxBodyBytes: ports.settings.maxBodyBytes,
      nextId: () => {
        this.ids += 1;
        return this.ids;
      },
      onLog: (module, line) => ports.onLog([module], line),
      onLogDropped: ports.onLogDropped,
      onHostLog: ports.onLog,
      onExit: (runner, cause) => {
        if (this.current?.scripts.get(runner.module.id) === runner) ports.onScriptExit(runner.module.name, cause);
      },
    };
    return new HostSet(versions.map(servedModuleOf), existing, setPorts);
  }

  private watch(set: HostSet): void {
    void set.exited.then((cause) => {
      if (this.current === set) this.ports.onHostExit(cause);
      else if (this.candidate === set) this.ports.onCandidateExit(cause);
    });
  }
}
