/** What a module's routes did over a span, and the numbers that they sent to the cloud. Pure. */
import { joinSummaries, type RouteMetrics, type ValueSummary } from '#shared/protocol/route-metrics.js';
import type { Measure, ModuleSpan } from './measure.js';
import type { RouteCount, Statistic } from './metric.js';
import { readDetail } from './module-detail.js';

export class RouteCounts implements Measure<ModuleSpan> {
  samples = 0;
  private count: number | undefined;

  constructor(
    private readonly route: string,
    private readonly what: RouteCount,
  ) {}

  add({ detailJson }: ModuleSpan): void {
    const metrics = routeOf(detailJson, this.route);
    if (metrics === undefined) return;
    this.samples += metrics.in;
    this.count = (this.count ?? 0) + countOf(metrics, this.what);
  }

  value(): number | null {
    return this.count ?? null;
  }
}

export class RouteValues implements Measure<ModuleSpan> {
  private summary: ValueSummary | undefined;

  constructor(
    private readonly route: string,
    private readonly path: string,
    private readonly statistic: Statistic,
  ) {}

  add({ detailJson }: ModuleSpan): void {
    const values = routeOf(detailJson, this.route)?.values ?? {};
    const more = Object.hasOwn(values, this.path) ? values[this.path] : undefined;
    if (more) this.summary = this.summary ? joinSummaries(this.summary, more) : more;
  }

  value(): number | null {
    if (!this.summary) return null;
    const { kind } = this.statistic;
    if (kind === 'min' || kind === 'max') return this.summary[kind];
    return this.summary.count === 0 ? null : this.summary.sum / this.summary.count;
  }

  get samples(): number {
    return this.summary?.count ?? 0;
  }
}

function routeOf(detailJson: string | null, route: string): RouteMetrics | undefined {
  const routes = readDetail(detailJson).routes ?? {};
  return Object.hasOwn(routes, route) ? routes[route] : undefined;
}

function countOf({ dropped, ...counts }: RouteMetrics, { of, reason }: RouteCount): number {
  if (of !== 'dropped') return counts[of];
  if (reason !== undefined) return Object.hasOwn(dropped, reason) ? (dropped[reason] ?? 0) : 0;
  return Object.values(dropped).reduce((sum, count) => sum + count, 0);
}
