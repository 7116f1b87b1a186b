/** What of a module's metrics has no column of its own, as it is stored. */
import * as z from 'zod';
import { joinShadows, joinStages, joinTensors } from '#shared/protocol/merge-metrics.js';
import { joinRoutesMetrics, routesMetricsSchema } from '#shared/protocol/route-metrics.js';
import { shadowMetricsSchema } from '#shared/protocol/shadow.js';
import { type ModuleMetrics, stageLatencySchema, tensorSummariesSchema } from '#shared/protocol/stream.js';

const moduleDetailSchema = z.object({
  stages: stageLatencySchema.optional(),
  tensors: tensorSummariesSchema.optional(),
  routes: routesMetricsSchema.optional(),
  /** Versions that got copies of this one's requests, by {@link shadowKeyOf}. */
  shadows: z.record(z.string(), shadowMetricsSchema).optional(),
});
export type ModuleDetail = Readonly<z.infer<typeof moduleDetailSchema>>;

/** Numbers of two keys are never added. */
export function shadowKeyOf(digest: string, tag: string | undefined): string {
  return tag === undefined ? digest : `${digest} ${tag}`;
}

type Metrics = Pick<ModuleMetrics, 'stages' | 'tensors' | 'routes' | 'shadow'>;

/** Undefined where the device told none. */
export function detailOf({ stages, tensors, routes, shadow }: Metrics): ModuleDetail | undefined {
  if (stages === undefined && tensors === undefined && routes === undefined && shadow === undefined) return undefined;
  return {
    ...(stages && { stages }),
    ...(tensors && { tensors }),
    ...(routes && { routes }),
    ...(shadow && { shadows: { [shadowKeyOf(shadow.digest, shadow.tag)]: shadow } }),
  };
}

export function detailJsonOf(metrics: Metrics): string | null {
  const detail = detailOf(metrics);
  return detail === undefined ? null : JSON.stringify(detail);
}

/** As it was checked before it was stored. */
export function readDetail(json: string | null): ModuleDetail {
  return json === null ? {} : (JSON.parse(json) as ModuleDetail);
}

export function joinDetails(earlier: ModuleDetail, later: ModuleDetail): ModuleDetail {
  const stages = joinStages(earlier.stages, later.stages);
  const tensors = joinTensors(earlier.tensors, later.tensors);
  const routes = joinRoutesMetrics(earlier.routes ?? {}, later.routes ?? {});
  return {
    ...(stages === undefined ? {} : { stages }),
    ...(tensors === undefined ? {} : { tensors }),
    ...(Object.keys(routes).length === 0 ? {} : { routes }),
    ...joinShadowsByKey(earlier.shadows, later.shadows),
  };
}

/** A module is shadowed by one version at a time: of more than these a device could only lie. */
const keptShadows = 8;

export function joinShadowsByKey(
  earlier: ModuleDetail['shadows'] = {},
  later: ModuleDetail['shadows'] = {},
): Pick<ModuleDetail, 'shadows'> {
  const joined = new Map(Object.entries(earlier));
  for (const [digest, shadow] of Object.entries(later)) {
    const before = joined.get(digest);
    if (before === undefined && joined.size >= keptShadows) continue;
    joined.set(digest, (before && joinShadows(before, shadow)) ?? shadow);
  }
  return joined.size === 0 ? {} : { shadows: Object.fromEntries(joined) };
}
