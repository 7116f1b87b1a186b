/**
 * Every interval: what the hosts counted and how the machine does, as one batch into the spool. What the
 * spool has no room for waits in memory and goes first when there is some.
 */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { SingleFlight } from '#shared/platform/single-flight.js';
import type { HostModuleStats } from '#shared/scoring/host-protocol.js';
import { joinRoutesMetrics, type RoutesMetrics } from '#shared/protocol/route-metrics.js';
import type { ModuleMetrics, SystemMetrics } from '#shared/protocol/stream.js';
import { moduleMetricsOf } from '#shared/supervisor/module-metrics.js';
import { type BatchContent, joinBatches, maxModulesLength } from '#agent/telemetry/batch-content.js';
import type { Spool } from '#agent/telemetry/spool.js';

/** One entry for each version of a module that a host answered with. */
export type ModuleStats = readonly HostModuleStats[];

export interface CollectorPorts {
  readonly clock: Clock;
  readonly spool: Spool;
  readonly generation: () => number;
  readonly hostStats: () => Promise<{ readonly modules: ModuleStats; readonly rssBytes: number }>;
  /** What routes counted since they were last asked, by module. */
  readonly routeMetrics?: () => Readonly<Record<string, RoutesMetrics>>;
  readonly system: (hostsRssBytes: number) => Promise<SystemMetrics>;
  readonly onSpooled: () => void;
  readonly onError: (error: unknown) => void;
}

export class Collector {
  private readonly flight: SingleFlight;
  private timer: NodeJS.Timeout | undefined;
  private lastAt: number;
  private unspooled: BatchContent[] = [];
  private writing: Promise<void> = Promise.resolve();
  /** Of modules of which no host has told yet. */
  private readonly routed = new Map<string, RoutesMetrics>();

  constructor(
    private readonly ports: CollectorPorts,
    private readonly intervalMs: number,
  ) {
    this.lastAt = ports.clock.monotonic();
    this.flight = new SingleFlight(() => this.collect(), ports.onError);
  }

  start(): void {
    this.timer = setInterval(() => this.flight.wake(), this.intervalMs);
  }

  /** Takes what was counted since the last interval along. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.flight.wake();
    await this.flight.idle();
    await this.flight.stop();
  }

  /** The last counts of a host that was replaced: a batch of their own, since a batch names one version a module. */
  async addLast(modules: ModuleStats): Promise<void> {
    const saysNothing = modules.every(
      ({ requests, errors, mirrored }) => requests === 0 && Object.keys(errors).length === 0 && mirrored === undefined,
    );
    if (saysNothing) return;
    await this.spool(modules, undefined, this.ports.clock.monotonic() - this.lastAt);
  }

  private async collect(): Promise<void> {
    const { clock } = this.ports;
    const { modules, rssBytes } = await this.ports.hostStats();
    const system = await this.ports.system(rssBytes);
    const now = clock.monotonic();
    const intervalMs = now - this.lastAt;
    this.lastAt = now;
    await this.spool(modules, system, intervalMs);
  }

  private async spool(modules: ModuleStats, system: SystemMetrics | undefined, intervalMs: number): Promise<void> {
    const { clock, generation, onError } = this.ports;
    const head = { at: toInstant(clock.now()), generation: generation() };
    const [first, ...more] = cutBySize(this.withRoutes(oneVersionEach(modules)));
    this.keep({
      ...head,
      intervalMs: Math.max(0, intervalMs),
      modules: first ?? {},
      ...(system === undefined ? {} : { system }),
    });
    // Of the same interval, which the first has told.
    for (const others of more) this.keep({ ...head, intervalMs: 0, modules: others });
    this.writing = this.writing.then(() => this.write()).catch(onError);
    await this.writing;
  }

  /** What routes counted goes with the first batch that tells of their module. */
  private withRoutes(batches: Record<string, ModuleMetrics>[]): Record<string, ModuleMetrics>[] {
    const [modules = {}] = batches;
    for (const [name, routes] of Object.entries(this.ports.routeMetrics?.() ?? {})) {
      this.routed.set(name, joinRoutesMetrics(this.routed.get(name) ?? {}, routes));
    }
    for (const [name, routes] of this.routed) {
      const metrics = Object.hasOwn(modules, name) ? modules[name] : undefined;
      if (metrics === undefined) continue;
      modules[name] = { ...metrics, routes };
      this.routed.delete(name);
    }
    return batches;
  }

  private keep(content: BatchContent): void {
    for (let at = this.unspooled.length - 1; at >= 0; at--) {
      const earlier = this.unspooled[at];
      const joined = earlier === undefined ? undefined : joinBatches(earlier, content);
      if (joined === undefined) continue;
      this.unspooled[at] = joined;
      return;
    }
    this.unspooled.push(content);
  }

  /** What is being written is no longer in `unspooled`, so that nothing is joined to it; a failure puts it back. */
  private async write(): Promise<void> {
    for (let content = this.unspooled.shift(); content !== undefined; content = this.unspooled.shift()) {
      try {
        await this.ports.spool.add({ ...content });
      } catch (error) {
        const next = this.unspooled.shift();
        const joined = next === undefined ? undefined : joinBatches(content, next);
        if (joined !== undefined) this.unspooled.unshift(joined);
        else this.unspooled.unshift(content, ...(next === undefined ? [] : [next]));
        throw error;
      }
      this.ports.onSpooled();
    }
  }
}

/** A batch names one version a module: where a host serves several, as many batches. */
function oneVersionEach(modules: ModuleStats): Record<string, ModuleMetrics>[] {
  const batches: Map<string, ModuleMetrics>[] = [];
  for (const stats of modules) {
    let batch = batches.find((one) => !one.has(stats.name));
    if (!batch) {
      batch = new Map();
      batches.push(batch);
    }
    batch.set(stats.name, moduleMetricsOf(stats));
  }
  return batches.map((batch) => Object.fromEntries(batch));
}

/** Those that together are too large for a message are several. */
function cutBySize(batches: readonly Record<string, ModuleMetrics>[]): Record<string, ModuleMetrics>[] {
  return batches.flatMap((batch) => {
    const cut: Record<string, ModuleMetrics>[] = [];
    let length = Infinity;
    for (const [name, metrics] of Object.entries(batch)) {
      const own = JSON.stringify(metrics).length + name.length;
      if (length + own > maxModulesLength) {
        cut.push({});
        length = 0;
      }
      Object.assign(cut.at(-1) ?? {}, { [name]: metrics });
      length += own;
    }
    return cut;
  });
}
