/** What one module version did, added up from what was told of it. */
import type { ModuleRollupTable } from '#cloud/store/telemetry-tables.js';
import { joinRoutesMetrics } from '#shared/protocol/route-metrics.js';
import type { EncodedSketch } from '#shared/protocol/sketch.js';
import { SketchSum } from '#shared/protocol/sketch-sum.js';
import type { TensorSummaries } from '#shared/protocol/stream.js';
import { addToSummarySum, type SummarySum } from '#shared/protocol/summary-sum.js';
import { joinShadowsByKey, type ModuleDetail, readDetail } from './module-detail.js';

/** Whose it is; the provider is empty where the device named none. */
export type ModuleNames = Pick<
  ModuleRollupTable,
  'workspace' | 'device' | 'module' | 'version' | 'digest' | 'provider'
>;

export interface ModuleCounts {
  readonly requests: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly latency: EncodedSketch;
  readonly detail: ModuleDetail;
}

export type StoredCounts = Pick<ModuleRollupTable, 'requests' | 'errorsJson' | 'latencyJson' | 'detailJson'>;

export function countsOf({ requests, errorsJson, latencyJson, detailJson }: StoredCounts): ModuleCounts {
  return {
    requests,
    errors: JSON.parse(errorsJson) as Record<string, number>,
    latency: JSON.parse(latencyJson) as EncodedSketch,
    detail: readDetail(detailJson),
  };
}

interface TensorSums {
  samples: number;
  readonly inputs: Map<string, SummarySum>;
  readonly outputs: Map<string, SummarySum>;
}

export class ModuleSum {
  private requests = 0;
  private readonly errors = new Map<string, number>();
  private readonly latency = new SketchSum();
  private stages: { readonly queueMs: SketchSum; readonly computeMs: SketchSum } | undefined;
  private tensors: TensorSums | undefined;
  private rare: Pick<ModuleDetail, 'routes' | 'shadows'> = {};

  constructor(readonly names: ModuleNames) {}

  add({ requests, errors, latency, detail }: ModuleCounts): void {
    this.requests += requests;
    for (const code of Object.keys(errors)) this.errors.set(code, (this.errors.get(code) ?? 0) + (errors[code] ?? 0));
    this.latency.add(latency);
    const { stages, tensors, routes, shadows } = detail;
    if (stages !== undefined) {
      this.stages ??= { queueMs: new SketchSum(), computeMs: new SketchSum() };
      this.stages.queueMs.add(stages.queueMs);
      this.stages.computeMs.add(stages.computeMs);
    }
    if (tensors !== undefined) {
      this.tensors ??= { samples: 0, inputs: new Map(), outputs: new Map() };
      this.tensors.samples += tensors.samples;
      addSummaries(this.tensors.inputs, tensors.inputs);
      addSummaries(this.tensors.outputs, tensors.outputs);
    }
    if (routes === undefined && shadows === undefined) return;
    const joined = joinRoutesMetrics(this.rare.routes ?? {}, routes ?? {});
    this.rare = {
      ...(Object.keys(joined).length === 0 ? {} : { routes: joined }),
      ...joinShadowsByKey(this.rare.shadows, shadows),
    };
  }

  counts(): ModuleCounts {
    const { requests, errors, latency, stages, tensors, rare } = this;
    const detail: ModuleDetail = {
      ...(stages && { stages: { queueMs: stages.queueMs.encoded(), computeMs: stages.computeMs.encoded() } }),
      ...(tensors && {
        tensors: { samples: tensors.samples, inputs: encoded(tensors.inputs), outputs: encoded(tensors.outputs) },
      }),
      ...rare,
    };
    return { requests, errors: Object.fromEntries(errors), latency: latency.encoded(), detail };
  }

  stored(): StoredCounts {
    const { requests, errors, latency, detail } = this.counts();
    const isEmpty = Object.keys(detail).length === 0;
    return {
      requests,
      errorsJson: JSON.stringify(errors),
      latencyJson: JSON.stringify(latency),
      detailJson: isEmpty ? null : JSON.stringify(detail),
    };
  }
}

function addSummaries(into: Map<string, SummarySum>, summaries: TensorSummaries['inputs']): void {
  for (const name of Object.keys(summaries)) {
    const summary = summaries[name];
    const sum = summary && addToSummarySum(into.get(name), summary);
    if (sum) into.set(name, sum);
  }
}

function encoded(sums: ReadonlyMap<string, SummarySum>): TensorSummaries['inputs'] {
  return Object.fromEntries([...sums].map(([name, sum]) => [name, sum.encoded()]));
}
