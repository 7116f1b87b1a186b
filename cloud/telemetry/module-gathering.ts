/** Rows of module versions as one answer for each: counts added, sketches and summaries merged, then told in figures. */
import { joinCounts } from '#shared/protocol/merge-metrics.js';
import type { ShadowMetrics } from '#shared/protocol/shadow.js';
import {
  decodeSketch,
  emptySketch,
  type EncodedSketch,
  mergeSketch,
  quantile,
  type Sketch,
} from '#shared/protocol/sketch.js';
import {
  decodeSummary,
  elementsOf,
  type EncodedSummary,
  mergeSummary,
  type Summary,
  summaryQuantile,
} from '#shared/protocol/summary.js';
import { type ModuleSpan, numberOf } from './measure.js';
import { joinDetails, type ModuleDetail, readDetail } from './module-detail.js';
import type { ModuleTelemetry, Quantiles, ShadowTelemetry, TensorTelemetry } from './telemetry-port.js';

export interface ModuleRow extends ModuleSpan {
  readonly module: string;
  readonly version: number;
  readonly digest: string;
  readonly provider: string | null;
}

interface Gathered extends Pick<ModuleRow, 'module' | 'version' | 'digest' | 'provider'> {
  requests: number;
  errors: Record<string, number>;
  readonly latency: Sketch;
  readonly queue: Sketch;
  readonly compute: Sketch;
  readonly inputs: Map<string, Summary>;
  readonly outputs: Map<string, Summary>;
  detail: Pick<ModuleDetail, 'shadows'>;
}

/** Of categories. */
const toldCategories = 16;

export class ModuleGathering {
  private readonly gathered = new Map<string, Gathered>();

  add(row: ModuleRow): void {
    const { module, version, digest, provider } = row;
    const key = JSON.stringify([module, version, digest, provider]);
    const into = this.gathered.get(key) ?? emptyOf({ module, version, digest, provider });
    this.gathered.set(key, into);
    into.requests += row.requests;
    into.errors = joinCounts(into.errors, JSON.parse(row.errorsJson) as Record<string, number>);
    addSketch(into.latency, JSON.parse(row.latencyJson) as EncodedSketch);
    const { stages, tensors, shadows } = readDetail(row.detailJson);
    if (shadows !== undefined) into.detail = joinDetails(into.detail, { shadows });
    addSketch(into.queue, stages?.queueMs);
    addSketch(into.compute, stages?.computeMs);
    addSummaries(into.inputs, tensors?.inputs);
    addSummaries(into.outputs, tensors?.outputs);
  }

  answer(): ModuleTelemetry[] {
    return [...this.gathered.values()]
      .map(figuresOf)
      .sort((a, b) => (a.module === b.module ? a.version - b.version : a.module < b.module ? -1 : 1));
  }
}

function emptyOf(names: Pick<ModuleRow, 'module' | 'version' | 'digest' | 'provider'>): Gathered {
  const sketches = { latency: emptySketch(), queue: emptySketch(), compute: emptySketch() };
  return { ...names, requests: 0, errors: {}, ...sketches, inputs: new Map(), outputs: new Map(), detail: {} };
}

function addSketch(into: Sketch, encoded: EncodedSketch | undefined): void {
  // A device may have sent a sketch that is none; its counts still count.
  const sketch = encoded && decodeSketch(encoded);
  if (sketch) mergeSketch(into, sketch);
}

function addSummaries(into: Map<string, Summary>, encoded: Readonly<Record<string, EncodedSummary>> = {}): void {
  for (const [name, one] of Object.entries(encoded)) {
    const summary = decodeSummary(one);
    const before = into.get(name);
    if (summary && before) mergeSummary(before, summary);
    else if (summary) into.set(name, summary);
  }
}

function figuresOf(of: Gathered): ModuleTelemetry {
  const { module, version, digest, provider, requests, errors, latency, queue, compute } = of;
  const tensors = [...tensorsOf('input', of.inputs), ...tensorsOf('output', of.outputs)];
  return {
    ...{ module, version, digest, requests, errors, latencyMs: quantilesOf(latency) },
    ...(provider === null ? {} : { provider }),
    ...(queue.count === 0 ? {} : { queueMs: quantilesOf(queue) }),
    ...(compute.count === 0 ? {} : { computeMs: quantilesOf(compute) }),
    ...(tensors.length === 0 ? {} : { tensors }),
    ...(of.detail.shadows === undefined ? {} : { shadows: Object.values(of.detail.shadows).map(shadowFigures) }),
  };
}

function shadowFigures({ liveLatencyMs, shadowLatencyMs, ...counts }: ShadowMetrics): ShadowTelemetry {
  const figures = (encoded: EncodedSketch): Quantiles => quantilesOf(decodeSketch(encoded) ?? emptySketch());
  return { ...counts, liveMs: figures(liveLatencyMs), shadowMs: figures(shadowLatencyMs) };
}

function quantilesOf(sketch: Sketch): Quantiles {
  return {
    p50: quantile(sketch, 0.5),
    p90: quantile(sketch, 0.9),
    p99: quantile(sketch, 0.99),
    max: sketch.max,
    mean: sketch.count === 0 ? null : sketch.sum / sketch.count,
  };
}

function tensorsOf(side: 'input' | 'output', summaries: ReadonlyMap<string, Summary>): TensorTelemetry[] {
  return [...summaries].map(([name, summary]) => {
    const head = { side, name, elements: elementsOf(summary), missing: summary.missing };
    if (summary.kind === 'categories') {
      const categories = [...summary.counts].map(([value, count]) => ({ value, count }));
      return { ...head, categories: categories.sort((a, b) => b.count - a.count).slice(0, toldCategories) };
    }
    const { nan, infinite, min, max } = summary;
    const [p10, p50, p90] = [0.1, 0.5, 0.9].map((q) => summaryQuantile(summary, q));
    const numbers = { nan, infinite, min, max, mean: numberOf(summary, 'mean') };
    return { ...head, numbers: { ...numbers, p10: p10 ?? null, p50: p50 ?? null, p90: p90 ?? null } };
  });
}
