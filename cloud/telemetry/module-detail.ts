/** What of a module's metrics has no column of its own, as it is stored. */
import * as z from 'zod';
import { joinStages, joinTensors } from '#shared/protocol/merge-metrics.js';
import { joinRoutesMetrics, routesMetricsSchema } from '#shared/protocol/route-metrics.js';
import { stageLatencySchema, tensorSummariesSchema } from '#shared/protocol/stream.js';

const moduleDetailSchema = z.object({
  stages: stageLatencySchema.optional(),
  tensors: tensorSummariesSchema.optional(),
  routes: routesMetricsSchema.optional(),
});
export type ModuleDetail = Readonly<z.infer<typeof moduleDetailSchema>>;

export function detailJsonOf({ stages, tensors, routes }: ModuleDetail): string | null {
  const nothing = stages === undefined && tensors === undefined && routes === undefined;
  return nothing ? null : JSON.stringify({ stages, tensors, routes });
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
  };
}
