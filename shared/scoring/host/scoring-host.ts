/**
 * The modules that this process serves, with what their answers share: limits, clock, provenance.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, type Problem, toProblem } from '#shared/kernel/errors.js';
import type { NewId } from '#shared/kernel/ids.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { HostConfig, HostModuleStats } from '../host-protocol.js';
import { type BodyPace, defaultPace } from '../body-pace.js';
import { BodyReader } from '../body-reader.js';
import { Engine } from '../engine/engine.js';
import type { ModelCall } from '../engine/model-call.js';
import type { WorkerThreads } from '../engine/worker-threads.js';
import { LoadedHostedModule } from './hosted-module.js';
import { pinOf, type RequestHeaders } from '../traffic/request-origin.js';
import { type HostAnswer, TrafficControl } from '../traffic/traffic-control.js';
import { type IndexEntry, ModelRepository } from './model-repository.js';

export interface ScoringHostDeps {
  readonly clock: Clock;
  readonly newId: NewId;
  /** In [0, 1). */
  readonly random: () => number;
  /** Of the program, for server metadata. */
  readonly version: string;
  readonly workerThreads: WorkerThreads;
  /** The process must be replaced. */
  readonly onCrash: (error: Error) => void;
  readonly onBug: (error: unknown) => void;
  /** That runs may take. */
  readonly cores: number;
}

/** What an answer came from, as header fields. */
interface Provenance {
  readonly headers: Readonly<Record<string, string>>;
  readonly fields: readonly string[];
}

interface LoadFailure {
  readonly module: string;
  readonly problem: Problem;
}

export class ScoringHost {
  readonly bodies: BodyReader;
  readonly maxBodyBytes: number;
  /** Who takes what is posted to routes; undefined: nobody. */
  readonly routesSocket: string | undefined;
  readonly bodyPace: BodyPace;
  /** Who may load and unload; undefined: nobody may over HTTP. */
  readonly controlToken: string | undefined;
  /** Which version answers, and what else becomes of requests and answers. */
  readonly traffic: TrafficControl;
  private readonly repository: ModelRepository;
  private readonly engine: Engine;
  private labels: Readonly<Record<string, string>>;
  /** Whose counts are still to be taken: what is ready, and what was since they last were. */
  private readonly counted = new Set<LoadedHostedModule>();
  private provenanceOf = new Map<LoadedHostedModule, Provenance>();

  private constructor(
    private readonly deps: ScoringHostDeps,
    config: HostConfig,
  ) {
    this.maxBodyBytes = config.maxBodyBytes;
    this.routesSocket = config.routesSocket;
    this.bodyPace = config.bodyPace ?? defaultPace;
    this.bodies = new BodyReader(config.maxBodyBytes, this.bodyPace);
    this.controlToken = config.controlToken;
    this.labels = config.labels;
    this.engine = new Engine({
      cores: deps.cores,
      monotonicMs: () => deps.clock.monotonic(),
      onStuck: (model, forMs) =>
        deps.onCrash(
          new Error(
            `a run of "${model}" takes longer than ${String(Math.round(forMs / 1000))} s: it cannot be stopped`,
          ),
        ),
    });
    this.repository = new ModelRepository(
      config.modules,
      (module) =>
        LoadedHostedModule.load(module, {
          ...deps,
          engine: this.engine,
          onSpent: (buffer) => this.bodies.buffers.give(buffer),
        }),
      () => this.modulesChanged(),
    );
    const { clock, newId, random, cores } = deps;
    this.traffic = new TrafficControl({
      clock,
      newId,
      random,
      cores,
      captureFolder: config.captureFolder,
      collectFolder: config.collectFolder,
      pending: () => this.all.reduce((sum, { pending }) => sum + pending, 0),
      ready: (name) => this.repository.versions(name),
      known: (name) => this.repository.index().flatMap((entry) => (entry.name === name ? [entry.version] : [])),
    });
  }

  /** @property loaded every module is; a host that could not load them all is closed */
  static begin(
    config: HostConfig,
    deps: ScoringHostDeps,
  ): { readonly host: ScoringHost; readonly loaded: Promise<Result<void, LoadFailure>> } {
    const host = new ScoringHost(deps, config);
    return { host, loaded: host.loadAll(config) };
  }

  private async loadAll(config: HostConfig): Promise<Result<void, LoadFailure>> {
    const loaded = await this.repository.loadAll();
    const failure = loaded.ok ? this.trafficFailure(config) : loaded;
    if (failure === undefined) return ok(undefined);
    await this.close();
    return failure;
  }

  get clock(): Clock {
    return this.deps.clock;
  }

  get version(): string {
    return this.deps.version;
  }

  /** Of all modules, loaded or not. */
  get names(): readonly string[] {
    return this.repository.names;
  }

  /** Every version that is ready. */
  get all(): readonly LoadedHostedModule[] {
    return this.repository.ready;
  }

  /** The newest version that is ready. */
  module(name: string): LoadedHostedModule | undefined {
    return this.repository.versions(name)[0];
  }

  /** Versions that are ready, the newest first. */
  versions(name: string): readonly LoadedHostedModule[] {
    return this.repository.versions(name);
  }

  /**
   * Who answers a request to score: the version in the URL or the headers, else one by weight.
   *
   * @throws AppError `model.not-found`, `score.not-ready`, `request.invalid` for a request of two minds
   */
  route(name: string, version: string | undefined, headers: RequestHeaders): LoadedHostedModule {
    const wanted = version ?? pinOf(headers);
    const ready = wanted === undefined ? this.repository.versions(name) : [];
    return (ready.length > 0 ? this.traffic.pick(name, ready, headers) : undefined) ?? this.find(name, wanted);
  }

  /** @throws AppError `model.not-found`, `score.not-ready` where it is known and not loaded */
  find(name: string, version?: string): LoadedHostedModule {
    const versions = this.repository.versions(name);
    const found = version === undefined ? versions[0] : versions.find((one) => String(one.module.version) === version);
    if (found) return found;
    const known = this.repository.index().filter((entry) => entry.name === name);
    if (known.length === 0) {
      throw new AppError(
        'model.not-found',
        `no model "${name}" here; this host serves ${this.names.join(', ') || 'none'}`,
      );
    }
    const entry = version === undefined ? known[0] : known.find((one) => String(one.version) === version);
    if (!entry) {
      const there = known.map((one) => String(one.version)).join(', ');
      throw new AppError(
        'model.not-found',
        `no version "${version ?? ''}" of model "${name}" here; this host serves version ${there}`,
      );
    }
    throw new AppError('score.not-ready', `model "${name}" is not loaded: ${entry.reason}`);
  }

  /**
   * Every face answers through here, so that what concerns all of them (cache, shadow, capture) has one place.
   *
   * @throws AppError what the module's run ended with
   */
  answer(module: LoadedHostedModule, call: ModelCall): Promise<HostAnswer> {
    return this.traffic.answer(module, call);
  }

  index(): readonly IndexEntry[] {
    return this.repository.index();
  }

  /** @throws AppError `model.not-found`, or what loading failed with */
  loadModel(name: string): Promise<void> {
    return this.repository.load(name);
  }

  /** @throws AppError `model.not-found` */
  unloadModel(name: string): Promise<void> {
    return this.repository.unload(name);
  }

  /** Header fields that say what an answer came from. */
  provenance(module: LoadedHostedModule): Readonly<Record<string, string>> {
    return this.provenanceOf.get(module)?.headers ?? {};
  }

  /** The same as names and values in turn. */
  provenanceFields(module: LoadedHostedModule): readonly string[] {
    return this.provenanceOf.get(module)?.fields ?? [];
  }

  /** From the next answer on. */
  label(labels: Readonly<Record<string, string>>): void {
    this.labels = labels;
    const shared = Object.fromEntries(
      Object.entries(labels).map(([name, value]) => [
        `flotilla-${name.replace(/[^a-z0-9-]/gi, '-')}`,
        headerText(value),
      ]),
    );
    this.provenanceOf = new Map(
      this.all.map((loaded) => {
        const { name, version, digest } = loaded.module;
        const headers = {
          ...shared,
          'flotilla-model': name,
          'flotilla-version': String(version),
          'flotilla-digest': headerText(digest),
          'flotilla-provider': loaded.provider,
        };
        return [loaded, { headers, fields: Object.entries(headers).flat() }];
      }),
    );
  }

  /** Counts since they were last taken. */
  takeStats(): readonly HostModuleStats[] {
    const counted = [...this.counted];
    this.counted.clear();
    for (const loaded of this.all) this.counted.add(loaded);
    return this.traffic.withShadows(
      counted.map((loaded) => {
        const { name, digest, version } = loaded.module;
        return { name, digest, version, provider: loaded.provider, ...loaded.counts.take(), ...loaded.observed.take() };
      }),
    );
  }

  /** What was seen so far was no live request: golden vectors. */
  forgetObserved(): void {
    for (const loaded of this.all) loaded.observed.take();
  }

  /** Waits for what runs, then ends the workers. */
  async close(): Promise<void> {
    await this.traffic.close();
    await this.repository.close();
    this.engine.close();
  }

  private trafficFailure(config: HostConfig): { readonly ok: false; readonly error: LoadFailure } | undefined {
    try {
      this.traffic.set(config.traffic ?? {});
      return undefined;
    } catch (error) {
      return err({ module: Object.keys(config.traffic ?? {})[0] ?? '', problem: toProblem(error) });
    }
  }

  private modulesChanged(): void {
    for (const loaded of this.all) this.counted.add(loaded);
    this.label(this.labels);
  }
}

/** What a header field can carry. */
function headerText(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, '?');
}
