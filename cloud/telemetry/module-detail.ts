/** What of a module's metrics has no column of its own, as it is stored. */
import * as z from 'zod';
import { joinStages, joinTensors } from '#shared/protocol/merge-metrics.js';
import { type ModuleMetrics, stageLatencySchema, tensorSummariesSchema } from '#shared/protocol/stream.js';

const moduleDetailSchema = z.object({
  stages: stageLatencySchema.optional(),
  tensors: tensorSummariesSchema.optional(),
});
export type ModuleDetail = Readonly<z.infer<typeof moduleDetailSchema>>;

export function detailJsonOf({ stages, tensors }: Pick<ModuleMetrics, 'stages' | 'tensors'>): string | null {
  return stages === undefined && tensors === undefined ? null : JSON.stringify({ stages, tensors });
}

/** As it was checked before it was stored. */
export function readDetail(json: string | null): ModuleDetail {
  return json === null ? {} : (JSON.parse(json) as ModuleDetail);
}

export function joinDetails(earlier: ModuleDetail, later: ModuleDetail): ModuleDetail {
  const stages = joinStages(earlier.stages, later.stages);
  const tensors = joinTensors(earlier.tensors, later.tensors);
  return { ...(stages === undefined ? {} : { stages }), ...(tensors === undefined ? {} : { tensors }) };
}
