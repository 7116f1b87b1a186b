/** What the routes of a module did in one interval, as telemetry tells it. Counts are deltas. */
import * as z from 'zod';
import { counterSchema, nameSchema } from './primitives.js';

/** Numbers of either sign, which a sketch does not take. */
export const valueSummarySchema = z.object({
  count: counterSchema,
  sum: z.number(),
  min: z.number(),
  max: z.number(),
  last: z.number(),
});
export type ValueSummary = z.infer<typeof valueSummarySchema>;

export const routeMetricsSchema = z.object({
  in: counterSchema,
  out: counterSchema,
  /** By reason: full, too-large, undecodable, refused, failed, rate, no-module, gone. */
  dropped: z.record(z.string().max(32), counterSchema),
  /** Of a route to the cloud's telemetry: the numbers that went, by their path in the value. */
  values: z.record(z.string().max(64), valueSummarySchema).optional(),
});
export type RouteMetrics = z.infer<typeof routeMetricsSchema>;

export const routesMetricsSchema = z.record(nameSchema, routeMetricsSchema);
export type RoutesMetrics = z.infer<typeof routesMetricsSchema>;

export function joinRoutesMetrics(earlier: RoutesMetrics, later: RoutesMetrics): RoutesMetrics {
  const joined = new Map(Object.entries(earlier));
  for (const [route, metrics] of Object.entries(later)) {
    const before = joined.get(route);
    joined.set(route, before === undefined ? metrics : joinMetrics(before, metrics));
  }
  return Object.fromEntries(joined);
}

function joinMetrics(earlier: RouteMetrics, later: RouteMetrics): RouteMetrics {
  const dropped = new Map(Object.entries(earlier.dropped));
  for (const [reason, count] of Object.entries(later.dropped)) dropped.set(reason, (dropped.get(reason) ?? 0) + count);
  const values = joinValues(earlier.values, later.values);
  return {
    in: earlier.in + later.in,
    out: earlier.out + later.out,
    dropped: Object.fromEntries(dropped),
    ...(values === undefined ? {} : { values }),
  };
}

function joinValues(earlier: RouteMetrics['values'], later: RouteMetrics['values']): RouteMetrics['values'] {
  if (earlier === undefined || later === undefined) return later ?? earlier;
  const joined = new Map(Object.entries(earlier));
  for (const [path, summary] of Object.entries(later)) {
    const before = joined.get(path);
    joined.set(path, before === undefined ? summary : joinSummaries(before, summary));
  }
  return Object.fromEntries(joined);
}

export function joinSummaries(earlier: ValueSummary, later: ValueSummary): ValueSummary {
  return {
    count: earlier.count + later.count,
    sum: earlier.sum + later.sum,
    min: Math.min(earlier.min, later.min),
    max: Math.max(earlier.max, later.max),
    last: later.last,
  };
}
