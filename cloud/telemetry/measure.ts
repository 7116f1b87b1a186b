/** One metric over a span: rows go in, a value comes out. Pure. */
import { decodeSketch, emptySketch, type EncodedSketch, mergeSketch, quantile } from '#shared/protocol/sketch.js';
import {
  decodeSummary,
  elementsOf,
  mergeSummary,
  type NumberSummary,
  type Summary,
  summaryQuantile,
} from '#shared/protocol/summary.js';
import type { Metric, Stage, Statistic } from './metric.js';
import { RouteCounts, RouteValues } from './measure-routes.js';
import { ShadowComparison } from './measure-shadow.js';
import { readDetail } from './module-detail.js';
import { type Gauge, joinGauge, type SystemGauges } from './system-gauges.js';

export interface ModuleSpan {
  readonly requests: number;
  readonly errorsJson: string;
  readonly latencyJson: string;
  readonly detailJson: string | null;
}

export interface Measure<Row> {
  add(row: Row): void;
  /** Null where there is nothing to tell. */
  value(): number | null;
  /** What the value rests on: requests, runs, elements, or readings. */
  readonly samples: number;
}

export function moduleMeasure(metric: Exclude<Metric, { source: 'system' }>): Measure<ModuleSpan> {
  if (metric.source === 'counts') return new Counts(metric.of, metric.code);
  if (metric.source === 'shadow') return new ShadowComparison(metric.of);
  if (metric.source === 'route') {
    return 'path' in metric
      ? new RouteValues(metric.route, metric.path, metric.statistic)
      : new RouteCounts(metric.route, metric.count);
  }
  return metric.source === 'stage'
    ? new StageTimes(metric.stage, metric.statistic)
    : new TensorValues(metric.side, metric.tensor, metric.statistic);
}

export class GaugeMeasure implements Measure<SystemGauges> {
  private gauge: Gauge | undefined;

  constructor(private readonly metric: Extract<Metric, { source: 'system' }>) {}

  add(gauges: SystemGauges): void {
    const more = gauges[this.metric.gauge];
    if (more) this.gauge = joinGauge(this.gauge, more);
  }

  value(): number | null {
    if (!this.gauge) return null;
    const { kind } = this.metric.statistic;
    return kind === 'min' || kind === 'max' ? this.gauge[kind] : this.gauge.sum / this.gauge.count;
  }

  get samples(): number {
    return this.gauge?.count ?? 0;
  }
}

class Counts implements Measure<ModuleSpan> {
  samples = 0;
  private errors = 0;

  constructor(
    private readonly of: 'requests' | 'errors' | 'error-rate',
    private readonly code: string | undefined,
  ) {}

  add({ requests, errorsJson }: ModuleSpan): void {
    this.samples += requests;
    if (this.of === 'requests' || errorsJson === '{}') return;
    for (const [code, count] of Object.entries(JSON.parse(errorsJson) as Record<string, number>)) {
      if (this.code === undefined || this.code === code) this.errors += count;
    }
  }

  value(): number | null {
    if (this.of === 'requests') return this.samples;
    if (this.of === 'errors') return this.errors;
    return this.samples === 0 ? null : this.errors / this.samples;
  }
}

class StageTimes implements Measure<ModuleSpan> {
  private readonly sketch = emptySketch();

  constructor(
    private readonly stage: Stage,
    private readonly statistic: Statistic,
  ) {}

  add(row: ModuleSpan): void {
    const encoded = this.encodedOf(row);
    // A device may have sent a sketch that is none; its counts still count.
    const sketch = encoded && decodeSketch(encoded);
    if (sketch) mergeSketch(this.sketch, sketch);
  }

  value(): number | null {
    const { count, sum, min, max } = this.sketch;
    if (this.statistic.kind === 'quantile') return quantile(this.sketch, this.statistic.q);
    if (this.statistic.kind === 'min') return min;
    if (this.statistic.kind === 'max') return max;
    return count === 0 ? null : sum / count;
  }

  get samples(): number {
    return this.sketch.count;
  }

  private encodedOf({ latencyJson, detailJson }: ModuleSpan): EncodedSketch | undefined {
    if (this.stage === 'latency') return JSON.parse(latencyJson) as EncodedSketch;
    const { stages } = readDetail(detailJson);
    return this.stage === 'queue' ? stages?.queueMs : stages?.computeMs;
  }
}

class TensorValues implements Measure<ModuleSpan> {
  private summary: Summary | undefined;

  constructor(
    private readonly side: 'inputs' | 'outputs',
    private readonly tensor: string,
    private readonly statistic: Statistic,
  ) {}

  add({ detailJson }: ModuleSpan): void {
    const summaries = readDetail(detailJson).tensors?.[this.side] ?? {};
    const encoded = Object.hasOwn(summaries, this.tensor) ? summaries[this.tensor] : undefined;
    const summary = encoded && decodeSummary(encoded);
    if (!summary) return;
    if (this.summary) mergeSummary(this.summary, summary);
    else this.summary = summary;
  }

  value(): number | null {
    const { summary, statistic } = this;
    if (!summary || this.samples === 0) return null;
    if (statistic.kind === 'share') return shareOf(summary, statistic) / this.samples;
    if (summary.kind === 'categories') return null;
    return statistic.kind === 'quantile' ? summaryQuantile(summary, statistic.q) : numberOf(summary, statistic.kind);
  }

  get samples(): number {
    return this.summary ? elementsOf(this.summary) : 0;
  }
}

export function numberOf(
  { sum, min, max, positive, negative }: NumberSummary,
  kind: 'mean' | 'min' | 'max',
): number | null {
  if (kind === 'min') return min;
  if (kind === 'max') return max;
  const count = positive.count + negative.count;
  return count === 0 ? null : sum / count;
}

function shareOf(summary: Summary, { of, category }: Extract<Statistic, { kind: 'share' }>): number {
  if (of === 'missing') return summary.missing;
  if (summary.kind === 'categories') return of === 'category' ? (summary.counts.get(category) ?? 0) : 0;
  return of === 'category' ? 0 : summary[of];
}
