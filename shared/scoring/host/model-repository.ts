/**
 * The modules that a host may serve, by name and version, loaded or not. What may be loaded is fixed when
 * the host starts: its owner verified those files, and no request can name others.
 */
import { AppError, messageOf, type Problem, toProblem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { HostedModule } from '../host-protocol.js';
import type { LoadedHostedModule } from './hosted-module.js';

export type ModelState = 'READY' | 'UNAVAILABLE' | 'LOADING' | 'UNLOADING';

export interface IndexEntry {
  readonly name: string;
  readonly version: number;
  readonly state: ModelState;
  /** Why it is not READY; empty where it is. */
  readonly reason: string;
}

interface Entry {
  readonly config: HostedModule;
  state: ModelState;
  reason: string;
  loaded: LoadedHostedModule | undefined;
}

const none: readonly LoadedHostedModule[] = [];

type LoadModule = (config: HostedModule) => Promise<Result<LoadedHostedModule, Problem>>;

export class ModelRepository {
  private readonly entries: readonly Entry[];
  /** Loading and unloading of one name, one after another. */
  private readonly turns = new Map<string, Promise<unknown>>();
  /** Asked at every request. */
  private readyVersions: ReadonlyMap<string, readonly LoadedHostedModule[]> = new Map();

  constructor(
    modules: readonly HostedModule[],
    private readonly loadModule: LoadModule,
    private readonly told: () => void,
  ) {
    this.entries = modules.map((config) => ({ config, state: 'UNAVAILABLE', reason: 'not loaded', loaded: undefined }));
  }

  /** Loads all, one after another: the peak of memory is one model's. Stops at the first that fails. */
  async loadAll(): Promise<Result<void, { readonly module: string; readonly problem: Problem }>> {
    for (const entry of this.entries) {
      const loaded = await this.loadEntry(entry);
      if (!loaded.ok) return err({ module: entry.config.name, problem: loaded.error });
    }
    return ok(undefined);
  }

  /** Names of all that there is, ready or not, in the order given. */
  get names(): readonly string[] {
    return [...new Set(this.entries.map(({ config }) => config.name))];
  }

  get ready(): readonly LoadedHostedModule[] {
    return this.entries.flatMap(({ loaded, state }) => (loaded && state === 'READY' ? [loaded] : []));
  }

  /** Ready versions of a name, the newest first. */
  versions(name: string): readonly LoadedHostedModule[] {
    return this.readyVersions.get(name) ?? none;
  }

  has(name: string): boolean {
    return this.entries.some(({ config }) => config.name === name);
  }

  index(): readonly IndexEntry[] {
    return this.entries.map(({ config, state, reason }) => ({
      name: config.name,
      version: config.version,
      state,
      reason,
    }));
  }

  /**
   * Every version of the name. One that is loaded already stays.
   *
   * @throws AppError `model.not-found`, or what loading failed with
   */
  load(name: string): Promise<void> {
    return this.inTurn(name, async (entries) => {
      for (const entry of entries) {
        const loaded = await this.loadEntry(entry);
        if (!loaded.ok)
          throw new AppError(loaded.error.code, loaded.error.message, { details: loaded.error.details ?? {} });
      }
    });
  }

  /**
   * Takes no new requests, answers what it has, then lets go of the memory.
   *
   * @throws AppError `model.not-found`
   */
  unload(name: string): Promise<void> {
    return this.inTurn(name, async (entries) => {
      await Promise.all(entries.map((entry) => this.unloadEntry(entry, 'unloaded')));
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.entries.map((entry) => this.unloadEntry(entry, 'the host ends')));
  }

  private changed(): void {
    const versions = new Map<string, LoadedHostedModule[]>();
    for (const loaded of this.ready) versions.set(loaded.name, [...(versions.get(loaded.name) ?? []), loaded]);
    for (const list of versions.values()) list.sort((a, b) => b.module.version - a.module.version);
    this.readyVersions = versions;
    this.told();
  }

  private async inTurn(name: string, act: (entries: readonly Entry[]) => Promise<void>): Promise<void> {
    const entries = this.entries.filter(({ config }) => config.name === name);
    if (entries.length === 0) {
      throw new AppError(
        'model.not-found',
        `no model "${name}" here; this host may load ${this.names.join(', ') || 'none'}`,
      );
    }
    const before = this.turns.get(name) ?? Promise.resolve();
    const turn = before.catch(() => undefined).then(() => act(entries));
    this.turns.set(name, turn);
    await turn;
  }

  private async loadEntry(entry: Entry): Promise<Result<void, Problem>> {
    if (entry.state === 'READY') return ok(undefined);
    entry.state = 'LOADING';
    entry.reason = 'loading';
    let loaded: Result<LoadedHostedModule, Problem>;
    try {
      loaded = await this.loadModule(entry.config);
    } catch (error) {
      loaded = err(error instanceof AppError ? toProblem(error) : { code: 'internal', message: messageOf(error) });
    }
    if (!loaded.ok) {
      entry.state = 'UNAVAILABLE';
      entry.reason = loaded.error.message;
      return loaded;
    }
    entry.loaded = loaded.value;
    entry.state = 'READY';
    entry.reason = '';
    this.changed();
    return ok(undefined);
  }

  private async unloadEntry(entry: Entry, reason: string): Promise<void> {
    const { loaded } = entry;
    if (!loaded) return;
    entry.state = 'UNLOADING';
    entry.reason = 'unloading';
    this.changed();
    await loaded.close();
    entry.loaded = undefined;
    entry.state = 'UNAVAILABLE';
    entry.reason = reason;
  }
}
