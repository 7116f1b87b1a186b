/**
 * The sets of host processes that there are: the one that answers, the candidate, and the one that was
 * replaced, which finishes, or stands by while its successor is on probation. All take turns on one handle,
 * so that no connection is refused in between. It does what the reconciler's actions ask, and tells what
 * happened as facts; it decides nothing.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, type Problem, toProblem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { HostAccess } from '#shared/scoring/access/host-access.js';
import type { Emission } from '#shared/scoring/host-protocol.js';
import type { ListenHandle } from '#shared/supervisor/listen-handle.js';
import type { ExitCause } from '#shared/supervisor/exit-cause.js';
import type { ModuleStats } from '#agent/telemetry/collector.js';
import type { HostSet, LoadFailure, Proved } from '#shared/supervisor/host-set.js';
import type { ScriptRunner } from '#shared/supervisor/script-runner.js';
import type { ProbationSample } from '#agent/reconcile/observed.js';
import { type ModuleVersion, servedModuleOf } from '#agent/serving/module-version.js';
import { SetRecord } from '#agent/serving/set-record.js';
import { ShadowHosts, type ShadowPorts } from '#agent/serving/shadow-hosts.js';
import { SetSpawner, type SpawnPorts } from '#agent/serving/spawn-set.js';

export interface ServingPorts extends SpawnPorts {
  readonly clock: Clock;
  readonly handle: ListenHandle;
  /** For gRPC; undefined: none. */
  readonly grpcHandle: ListenHandle | undefined;
  readonly drainMs: number;
  /** Provenance of answers: what is committed, or what the candidate will stand for. */
  readonly labels: (of: 'committed' | 'desired') => Readonly<Record<string, string>>;
  readonly onHostExit: (cause: ExitCause) => void;
  readonly onScriptExit: (module: string, cause: ExitCause) => void;
  readonly onCandidateExit: (cause: ExitCause) => void;
  readonly shadow: Pick<ShadowPorts, 'onExit' | 'onRefused' | 'onCounted'>;
  /** A module that answers asks not to be replaced for so long. */
  readonly onDefer: (module: string, forMs: number, reason: string) => void;
  /** A module that answers, or did and finishes, gave something to an output. */
  readonly onEmission: (module: string, emission: Emission) => void;
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
  private replaced: HostSet | undefined;
  /** Resident memory of the scoring host that was replaced, when it was. */
  private replacedBytes = 0;
  private readonly records = new WeakMap<HostSet, SetRecord>();
  /** Those that answer or did: what scripts give to outputs while they are proved counts for nothing. */
  private readonly answering = new WeakSet<HostSet>();
  /** Counted for a sample, and not yet told to whoever asks for the counts. */
  private untold: ModuleStats = [];
  /** Versions that get copies of what the set that answers is asked. */
  readonly shadows: ShadowHosts;
  private readonly spawner: SetSpawner;

  constructor(private readonly ports: ServingPorts) {
    this.spawner = new SetSpawner(ports);
    this.shadows = new ShadowHosts({
      spawner: this.spawner,
      sandbox: ports.sandbox,
      settings: ports.settings,
      current: () => this.current,
      labels: () => ports.labels('committed'),
      ...ports.shadow,
    });
  }

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
    const started = await this.bringUp(set);
    // Whoever ended it has put another in its place.
    if (this.starting !== set) return superseded;
    this.starting = undefined;
    if (!started.ok) return started;
    this.current = set;
    this.watch(set);
    await this.shadows.follow(set);
    return started;
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

  async prove(module: string): Promise<Result<Proved, Problem>> {
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

  /** Both accept from the same handle until the old one is paused or drained. @returns false when there is no candidate */
  async switchOver(): Promise<boolean> {
    const { candidate, current } = this;
    if (candidate === undefined) return false;
    if (current !== undefined) this.replacedBytes = (await this.count(current)).rssBytes;
    candidate.label(this.ports.labels('desired'));
    this.answering.add(candidate);
    await candidate.listen({ http: this.ports.handle, grpc: this.ports.grpcHandle });
    await this.dropReplaced();
    // Its end meanwhile is told to whoever watches candidates.
    if (this.candidate !== candidate || candidate.ended) return false;
    this.replaced = this.current;
    this.current = candidate;
    this.candidate = undefined;
    await this.endStart(candidate);
    await this.shadows.follow(candidate);
    return true;
  }

  /** The replaced set finishes what it has and stands by. */
  async pauseReplaced(): Promise<void> {
    const { replaced } = this;
    // One that ends meanwhile has nothing to tell.
    const last = await replaced?.pause().catch(() => undefined);
    if (replaced === undefined || last === undefined) return;
    this.recordOf(replaced).add(last.modules, this.ports.clock.monotonic());
    await this.ports.onLastStats(last.modules);
  }

  /**
   * The replaced set answers again, and the one that answered is the replaced one.
   *
   * @returns false when it is gone: then it must be started
   */
  async goBack(): Promise<boolean> {
    const { replaced, current } = this;
    this.replaced = undefined;
    if (replaced === undefined || replaced.ended) return false;
    replaced.label(this.ports.labels('committed'));
    try {
      await replaced.listen({ http: this.ports.handle, grpc: this.ports.grpcHandle });
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return false;
    }
    this.replaced = current;
    this.current = replaced;
    await this.endStart(replaced);
    await this.shadows.follow(replaced);
    return true;
  }

  /** Scripts of the answering set that do not run. */
  get scriptsDown(): string[] {
    const all = [...(this.current?.scripts.values() ?? [])];
    return all.filter(({ running }) => !running).map(({ module }) => module.name);
  }

  /** What the answering set has done since it took over, beside what the one before it did lately. */
  async sample(modules: readonly string[]): Promise<ProbationSample | undefined> {
    const { current, replaced, replacedBytes } = this;
    if (current === undefined || replaced === undefined) return undefined;
    const { rssBytes } = await this.count(current);
    const [candidateBytes, incumbentBytes] = [
      rssBytes + (await current.scriptBytes(replaced)),
      replacedBytes + (await replaced.scriptBytes(current)),
    ];
    return {
      at: this.ports.clock.monotonic(),
      modules: Object.fromEntries(
        modules.map((name) => [
          name,
          { candidate: this.recordOf(current).sinceStart(name), incumbent: this.recordOf(replaced).lately(name) },
        ]),
      ),
      ...(replacedBytes > 0 ? { memory: { candidateBytes, incumbentBytes } } : {}),
    };
  }

  async dropReplaced(): Promise<void> {
    const { replaced } = this;
    this.replaced = undefined;
    if (replaced === undefined) return;
    const keep = new Set(this.current?.scripts.values() ?? []);
    await this.ports.onLastStats(await replaced.drain(this.ports.drainMs, keep));
  }

  /** Hosts that are started later read it from their settings. */
  async setAccess(access: HostAccess): Promise<void> {
    const all = [this.current, this.candidate, this.starting, this.replaced];
    const sets = all.filter((set) => set !== undefined);
    await Promise.all(sets.map((set) => set.setAccess(access)));
  }

  relabel(): void {
    this.current?.label(this.ports.labels('committed'));
  }

  async stats(): Promise<{ readonly modules: ModuleStats; readonly rssBytes: number }> {
    const { current } = this;
    const { rssBytes } = current === undefined ? { rssBytes: 0 } : await this.count(current);
    const modules = this.untold;
    this.untold = [];
    return { modules, rssBytes: rssBytes + (await this.shadows.rssBytes()) };
  }

  async stop(): Promise<void> {
    const { current, starting } = this;
    this.starting = undefined;
    await this.shadows.stopAll();
    await starting?.kill(new Set());
    await this.discardCandidate();
    await this.dropReplaced();
    this.current = undefined;
    if (this.untold.length > 0) await this.ports.onLastStats(this.untold);
    if (current !== undefined) await this.ports.onLastStats(await current.drain(this.ports.drainMs, new Set()));
  }

  /** Takes a set's counts once, for both who ask for them. A host that ends in this moment has none to give. */
  private async count(set: HostSet): Promise<{ readonly rssBytes: number }> {
    const { modules, rssBytes } = await set.stats().catch(() => ({ modules: [], rssBytes: 0 }));
    this.recordOf(set).add(modules, this.ports.clock.monotonic());
    this.untold = [...this.untold, ...modules];
    this.shadows.counted(modules);
    return { rssBytes };
  }

  private recordOf(set: HostSet): SetRecord {
    const record = this.records.get(set) ?? new SetRecord(this.ports.clock.monotonic());
    this.records.set(set, record);
    return record;
  }

  /** A host that was still starting when another came to answer must not answer beside it. */
  private async endStart(current: HostSet): Promise<void> {
    const { starting } = this;
    this.starting = undefined;
    await starting?.kill(new Set(current.scripts.values()));
  }

  /** Loads it and lets it answer; one that could not be brought so far has ended. */
  private async bringUp(set: HostSet): Promise<Result<void, LoadFailure>> {
    const loaded = await set.load({ ...this.ports.settings, labels: this.ports.labels('committed') });
    if (!loaded.ok) {
      await set.kill(new Set());
      return loaded;
    }
    // Superseded: it is ended by whoever did so.
    if (this.starting !== set) return superseded;
    try {
      this.answering.add(set);
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
    const isCurrent = (runner: ScriptRunner): boolean => this.current?.scripts.get(runner.module.id) === runner;
    const set: HostSet = this.spawner.spawn(versions.map(servedModuleOf), existing, {
      onScriptExit: (runner, cause) => {
        if (isCurrent(runner)) ports.onScriptExit(runner.module.name, cause);
      },
      // A script that several sets share is of the first of them.
      onEmission: (runner, emission) => {
        if (this.answering.has(set)) ports.onEmission(runner.module.name, emission);
      },
      onDefer: (runner, forMs, reason) => {
        if (isCurrent(runner)) ports.onDefer(runner.module.name, forMs, reason);
      },
    });
    return set;
  }

  private watch(set: HostSet): void {
    void set.exited.then((cause) => {
      if (this.current === set) this.ports.onHostExit(cause);
      else if (this.candidate === set) this.ports.onCandidateExit(cause);
    });
  }
}
