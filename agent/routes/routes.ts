/**
 * The routes of a device: those of the modules that answer now run, and follow them. A module that is replaced by
 * another version keeps the queues of its routes, with what waits in them. Nothing here is in the reconciler's way:
 * it tells which modules answer, and waits for nothing.
 */
import type { RouteMetrics, RoutesMetrics } from '#shared/protocol/route-metrics.js';
import { defaultOutput } from '#shared/protocol/route.js';
import { InwardRoute, type InwardPorts } from './inward-route.js';
import { OutwardRoute, type OutwardPorts } from './outward-route.js';
import { bytesItem, type Payload } from './payload.js';
import { type ActiveModule, type PlannedRoute, planRoutes, routeText } from './plan.js';

type Running = InwardRoute | OutwardRoute;

export interface RoutesPorts {
  readonly inward: Omit<InwardPorts, 'onAnswer'>;
  readonly outward: OutwardPorts;
  /** What a plan needs besides itself, such as a broker that the settings name; a reason where that is not there. */
  readonly refusal: (planned: PlannedRoute) => string | undefined;
  /** Told of what runs now, before anything of it is opened and after what is gone has ended. */
  readonly onPlanned: (routes: readonly PlannedRoute[]) => void;
  readonly onBug: (error: unknown) => void;
}

export interface RouteView {
  readonly module: string;
  readonly route: string;
  /** From where to where. */
  readonly way: string;
  readonly waiting: number;
  readonly waitingBytes: number;
  readonly counts: RouteMetrics;
  /** Why it does not run, or what it waits for. */
  readonly problem?: string;
  /** Of the last loss that had something to say. */
  readonly lastLoss?: string;
}

export type Posted = 'taken' | 'full' | 'too-large' | 'unknown';

export class Routes {
  private planned: readonly PlannedRoute[] = [];
  private running = new Map<string, Running>();
  private modules: readonly ActiveModule[] = [];
  private turn: Promise<void> = Promise.resolve();
  private stopped = false;
  /** Of routes that are gone: told once more. */
  private readonly left: { readonly module: string; readonly name: string; readonly route: Running }[] = [];

  constructor(private readonly ports: RoutesPorts) {}

  /** The modules that answer from now on. */
  apply(modules: readonly ActiveModule[]): void {
    this.modules = modules;
    this.planned = planRoutes(modules).map((planned) => {
      const problem = planned.problem ?? this.ports.refusal(planned);
      return problem === undefined ? planned : { ...planned, problem };
    });
    this.turn = this.turn.then(() => this.follow()).catch(this.ports.onBug);
  }

  /** As it answers now. */
  module(name: string): ActiveModule | undefined {
    return this.modules.find((module) => module.name === name);
  }

  /** A script gave something to an output, whoever asked it. It cannot be made to wait. */
  emitted(module: string, output: string, payload: Payload): void {
    for (const route of this.readersOf(module, output)) {
      if (route.direction === 'out') route.offer(payload);
      else {
        route.counts.entered();
        route.queue.press(bytesItem(payload.bytes, payload.source));
      }
    }
  }

  /** Something was lost before it came here; counted at every route that it would have gone to. */
  lostBefore(module: string, output: string, reason: 'full' | 'too-large', count: number): void {
    for (const { counts } of this.readersOf(module, output)) {
      for (let one = 0; one < Math.min(count, 1_000_000); one++) {
        counts.entered();
        counts.lost(
          reason,
          reason === 'full' ? 'the script emits faster than is taken' : 'larger than an output may be',
        );
      }
    }
  }

  /** An answer of the module, which may wait for room. */
  async answered(module: string, payload: Payload, signal: AbortSignal): Promise<void> {
    for (const route of this.readersOf(module, defaultOutput)) {
      if (route.direction === 'out') await route.put(payload, signal);
      else {
        route.counts.entered();
        await route.queue.put(bytesItem(payload.bytes, payload.source), signal);
      }
    }
  }

  /** Of who posted it over HTTP. */
  post(module: string, address: string, bytes: Buffer): Posted {
    const route = [...this.running.values()].find(
      ({ planned }) => planned.module === module && 'http' in planned.route.from && planned.route.from.http === address,
    );
    if (route?.direction !== 'in') return 'unknown';
    route.counts.entered();
    return route.queue.offer(bytesItem(bytes, undefined));
  }

  /** As many bytes as it may post at most; undefined where there is nothing to post to. */
  roomFor(module: string, address: string): number | undefined {
    const found = this.planned.find(
      (one) => one.module === module && 'http' in one.route.from && one.route.from.http === address,
    );
    return found?.limits.maxBytes;
  }

  view(): RouteView[] {
    return this.planned.map((planned) => {
      const route = this.running.get(keyOf(planned));
      const problem = planned.problem ?? route?.waitsFor;
      const lastLoss = route?.counts.lastProblem;
      return {
        module: planned.module,
        route: planned.name,
        way: routeText(planned.route),
        waiting: route?.queue.length ?? 0,
        waitingBytes: route?.queue.bytes ?? 0,
        counts: route?.counts.total ?? { in: 0, out: 0, dropped: {} },
        ...(problem === undefined ? {} : { problem }),
        ...(lastLoss === undefined ? {} : { lastLoss }),
      };
    });
  }

  /** What was counted since this was last asked, by module. */
  takeMetrics(): Readonly<Record<string, RoutesMetrics>> {
    const all = [...this.running.values()].map((route) => ({
      module: route.planned.module,
      name: route.planned.name,
      route,
    }));
    const modules = new Map<string, Record<string, RouteMetrics>>();
    for (const { module, name, route } of [...all, ...this.left.splice(0)]) {
      const delta = route.direction === 'out' ? route.takeDelta() : route.counts.takeDelta();
      if (delta !== undefined) modules.set(module, { ...modules.get(module), [name]: delta });
    }
    return Object.fromEntries(modules);
  }

  /** Sources first, so that what waits can go out. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.turn;
    const all = [...this.running.values()];
    for (const direction of ['in', 'out'] as const) {
      await Promise.all(all.filter((route) => route.direction === direction).map((route) => route.stop()));
    }
  }

  private async follow(): Promise<void> {
    if (this.stopped) return;
    const wanted = new Map(this.planned.filter(({ problem }) => problem === undefined).map((one) => [keyOf(one), one]));
    for (const [key, route] of this.running) {
      const next = wanted.get(key);
      if (next?.direction === route.direction) continue;
      await route.stop();
      this.running.delete(key);
      const { module, name } = route.planned;
      this.left.push({ module, name, route });
    }
    this.ports.onPlanned([...wanted.values()]);
    for (const [key, planned] of wanted) {
      const route = this.running.get(key);
      if (route === undefined) this.running.set(key, this.start(planned));
      else await route.change(planned);
    }
  }

  private start(planned: PlannedRoute): Running {
    const { inward, outward } = this.ports;
    if (planned.direction === 'out') return new OutwardRoute(planned, outward);
    const onAnswer: InwardPorts['onAnswer'] = (module, payload, signal) => this.answered(module, payload, signal);
    return new InwardRoute(planned, { ...inward, onAnswer });
  }

  /** Its own routes outwards, and those of others that take from it. */
  private readersOf(module: string, output: string): Running[] {
    return [...this.running.values()].filter(({ planned: { module: owner, route } }) => {
      const { from } = route;
      if (!('output' in from) || from.output !== output) return false;
      return 'module' in from ? from.module === module : owner === module;
    });
  }
}

function keyOf({ module, name }: PlannedRoute): string {
  return `${module} ${name}`;
}
