/**
 * In the place of scoring hosts: what actions ask of processes takes the time, and comes to the end, that the device's
 * conduct says. No model runs.
 */
import type { Clock } from '#shared/kernel/clock.js';
import type { Problem } from '#shared/kernel/errors.js';
import type { Random } from '#shared/kernel/ids.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { LoadFailure, Proved } from '#shared/supervisor/host-set.js';
import type { Counted } from '#shared/supervisor/probation.js';
import type { Hosts } from '#agent/actions/executors.js';
import type { ProbationSample } from '#agent/reconcile/observed.js';
import type { ModuleVersion } from '#agent/serving/module-version.js';
import { type Conduct, drawMs } from './conduct.js';

export interface SimulatedHostsPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly conductWith: (image: ModuleVersion['desired']['image']) => Conduct;
  readonly requestsPerMinute: number;
  readonly signal: AbortSignal;
}

interface HostedSet {
  readonly versions: readonly ModuleVersion[];
  /** Monotonic milliseconds; answers since then. */
  since: number;
}

export class SimulatedHosts implements Hosts {
  private current: HostedSet | undefined;
  private candidate: HostedSet | undefined;
  private replaced: HostedSet | undefined;
  readonly scriptsDown: string[] = [];
  /** Its capabilities name none, so that no document asks for one. */
  readonly shadows: Hosts['shadows'] = {
    start: () => Promise.resolve(err({ code: 'capability.unmet', message: 'a simulated device runs no shadow' })),
    mirror: () => Promise.resolve(),
    stop: () => Promise.resolve(),
  };

  constructor(private readonly ports: SimulatedHostsPorts) {}

  /** What answers now. */
  get versions(): readonly ModuleVersion[] {
    return this.current?.versions ?? [];
  }

  async start(versions: readonly ModuleVersion[]): Promise<Result<void, LoadFailure>> {
    await this.take(versions);
    this.current = this.hosted(versions);
    return ok(undefined);
  }

  startScript(): Promise<Result<void, Problem>> {
    return Promise.resolve(ok(undefined));
  }

  scriptsOf(): string[] {
    return [];
  }

  async prepare(versions: readonly ModuleVersion[]): Promise<Result<void, LoadFailure>> {
    const set = this.hosted(versions);
    this.candidate = set;
    await this.take(versions);
    return ok(undefined);
  }

  prove(module: string): Promise<Result<Proved, Problem>> {
    const version = this.candidate?.versions.find(({ name }) => name === module);
    if (version === undefined) {
      return Promise.resolve(err({ code: 'process.failed', message: 'the candidate is gone' }));
    }
    const { rejects, failureShare, latencyMs } = this.ports.conductWith(version.desired.image);
    if (rejects) {
      return Promise.resolve(err({ code: 'golden.mismatch', message: 'a simulated device refuses this version' }));
    }
    if (this.ports.random() < failureShare) {
      return Promise.resolve(err({ code: 'golden.too-slow', message: 'a simulated failure, which is tried again' }));
    }
    return Promise.resolve(ok({ vectors: 1, numbers: { goldenMs: latencyMs } }));
  }

  discardCandidate(): Promise<void> {
    this.candidate = undefined;
    return Promise.resolve();
  }

  switchOver(): Promise<boolean> {
    const { candidate } = this;
    if (candidate === undefined) return Promise.resolve(false);
    this.replaced = this.current;
    candidate.since = this.ports.clock.monotonic();
    this.current = candidate;
    this.candidate = undefined;
    return Promise.resolve(true);
  }

  pauseReplaced(): Promise<void> {
    return Promise.resolve();
  }

  goBack(): Promise<boolean> {
    const { replaced } = this;
    if (replaced === undefined) return Promise.resolve(false);
    this.replaced = this.current;
    this.current = replaced;
    return Promise.resolve(true);
  }

  dropReplaced(): Promise<void> {
    this.replaced = undefined;
    return Promise.resolve();
  }

  relabel(): void {
    // Nobody reads the labels of answers that are not given.
  }

  sample(modules: readonly string[]): Promise<ProbationSample | undefined> {
    const { current, replaced } = this;
    if (current === undefined || replaced === undefined) return Promise.resolve(undefined);
    const at = this.ports.clock.monotonic();
    const counted = (set: HostedSet, name: string): Counted => {
      const version = set.versions.find((one) => one.name === name);
      const requests = Math.floor((this.ports.requestsPerMinute * (at - set.since)) / 60_000);
      if (version === undefined || requests === 0) return { requests: 0, errors: 0, p99Ms: null };
      const { errorShare, latencyMs } = this.ports.conductWith(version.desired.image);
      return { requests, errors: Math.round(requests * errorShare), p99Ms: latencyMs * 2, p50Ms: latencyMs };
    };
    const pairs = modules.map(
      (name) => [name, { candidate: counted(current, name), incumbent: counted(replaced, name) }] as const,
    );
    return Promise.resolve({ at, modules: Object.fromEntries(pairs) });
  }

  private hosted(versions: readonly ModuleVersion[]): HostedSet {
    return { versions, since: this.ports.clock.monotonic() };
  }

  /** As long as the slowest of them takes; those that answer already take no time. */
  private async take(versions: readonly ModuleVersion[]): Promise<void> {
    const { clock, random, conductWith, signal } = this.ports;
    const fresh = versions.filter(({ key }) => !this.versions.some((one) => one.key === key));
    const times = fresh.map(({ desired }) => drawMs(conductWith(desired.image).loadSeconds, random));
    if (times.length > 0) await clock.sleep(Math.max(...times), signal);
  }
}
