/**
 * The modules that this process serves, with what their answers share: limits, clock, provenance.
 */
import type { Clock } from '#shared/kernel/clock.js';
import type { Problem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { HostConfig, HostModuleStats } from '../host-protocol.js';
import { BodyReader } from '../body-reader.js';
import { LoadedHostedModule } from './hosted-module.js';

export interface ScoringHostDeps {
  readonly clock: Clock;
  /** Of the program, for server metadata. */
  readonly version: string;
  readonly workerEntry: URL;
  readonly onCrash: (error: Error) => void;
}

export class ScoringHost {
  readonly bodies: BodyReader;
  readonly maxBodyBytes: number;
  private provenanceOf = new Map<LoadedHostedModule, Readonly<Record<string, string>>>();

  private constructor(
    private readonly modules: ReadonlyMap<string, LoadedHostedModule>,
    private readonly deps: ScoringHostDeps,
    config: HostConfig,
  ) {
    this.maxBodyBytes = config.maxBodyBytes;
    this.bodies = new BodyReader(config.maxBodyBytes);
    this.label(config.labels);
  }

  /** Loads the modules one after another: the peak of memory is one model's. */
  static async load(
    config: HostConfig,
    deps: ScoringHostDeps,
  ): Promise<Result<ScoringHost, { readonly module: string; readonly problem: Problem }>> {
    const modules = new Map<string, LoadedHostedModule>();
    for (const module of config.modules) {
      const loaded = await LoadedHostedModule.load(module, deps.workerEntry, deps.onCrash);
      if (!loaded.ok) {
        await closeAll(modules);
        return err({ module: module.name, problem: loaded.error });
      }
      modules.set(module.name, loaded.value);
    }
    return ok(new ScoringHost(modules, deps, config));
  }

  get clock(): Clock {
    return this.deps.clock;
  }

  get version(): string {
    return this.deps.version;
  }

  get names(): readonly string[] {
    return [...this.modules.keys()];
  }

  get all(): readonly LoadedHostedModule[] {
    return [...this.modules.values()];
  }

  module(name: string): LoadedHostedModule | undefined {
    return this.modules.get(name);
  }

  /** Header fields that say what an answer came from. */
  provenance(module: LoadedHostedModule): Readonly<Record<string, string>> {
    return this.provenanceOf.get(module) ?? {};
  }

  /** From the next answer on. */
  label(labels: Readonly<Record<string, string>>): void {
    const shared = Object.fromEntries(
      Object.entries(labels).map(([name, value]) => [
        `flotilla-${name.replace(/[^a-z0-9-]/gi, '-')}`,
        headerText(value),
      ]),
    );
    for (const loaded of this.modules.values()) {
      const { name, version, digest } = loaded.module;
      this.provenanceOf.set(loaded, {
        ...shared,
        'flotilla-model': name,
        'flotilla-version': String(version),
        'flotilla-digest': headerText(digest),
        'flotilla-provider': loaded.provider,
      });
    }
  }

  /** Counts since they were last taken. */
  takeStats(): Record<string, HostModuleStats> {
    return Object.fromEntries(
      this.all.map((loaded) => {
        const { digest, version } = loaded.module;
        return [loaded.name, { digest, version, provider: loaded.provider, ...loaded.counts.take() }];
      }),
    );
  }

  /** Waits for what runs, then ends the workers. */
  close(): Promise<void> {
    return closeAll(this.modules);
  }
}

async function closeAll(modules: ReadonlyMap<string, LoadedHostedModule>): Promise<void> {
  await Promise.all([...modules.values()].map((module) => module.close()));
}

/** What a header field can carry. */
function headerText(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, '?');
}
