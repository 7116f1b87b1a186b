/** What can be asked of telemetry, by name: `requests`, `latency.p99`, `input.pixels.mean`, `cpu.max`. Pure. */
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import { type ShadowFigure, shadowFigures } from './measure-shadow.js';
import { type GaugeName, gaugeNames } from './system-gauges.js';

export const stages = ['latency', 'queue', 'compute'] as const;
export type Stage = (typeof stages)[number];

const quantiles: Readonly<Record<string, number>> = { p1: 0.01, p10: 0.1, p50: 0.5, p90: 0.9, p99: 0.99 };
const numberStatistics = ['mean', 'min', 'max', ...Object.keys(quantiles)] as const;
const tensorStatistics = [...numberStatistics, 'missing', 'nan', 'infinite'] as const;
const gaugeStatistics = ['mean', 'min', 'max'] as const;
const valueStatistics = ['mean', 'min', 'max'] as const;

export type Statistic =
  | { readonly kind: 'mean' | 'min' | 'max' }
  | { readonly kind: 'quantile'; readonly q: number }
  /** Of all elements. */
  | { readonly kind: 'share'; readonly of: 'missing' | 'nan' | 'infinite' | 'category'; readonly category: string };

/** Of what a route took, passed on, or dropped, for one reason or for any. */
export type RouteCount = { readonly of: 'in' | 'out' | 'dropped'; readonly reason?: string };

export type Metric =
  | { readonly source: 'counts'; readonly of: 'requests' | 'errors' | 'error-rate'; readonly code?: string }
  | { readonly source: 'stage'; readonly stage: Stage; readonly statistic: Statistic }
  | {
      readonly source: 'tensor';
      readonly side: 'inputs' | 'outputs';
      readonly tensor: string;
      readonly statistic: Statistic;
    }
  | { readonly source: 'shadow'; readonly of: ShadowFigure }
  | { readonly source: 'route'; readonly route: string; readonly count: RouteCount }
  | { readonly source: 'route'; readonly route: string; readonly path: string; readonly statistic: Statistic }
  | { readonly source: 'system'; readonly gauge: GaugeName; readonly statistic: Statistic };

/** For texts and for the error that names the nearest. */
export const metricNames: readonly string[] = [
  ...['requests', 'errors', 'errors.<code>', 'error-rate'],
  ...stages.flatMap((stage) => numberStatistics.map((statistic) => `${stage}.${statistic}`)),
  ...['input', 'output'].flatMap((side) => tensorStatistics.map((statistic) => `${side}.<tensor>.${statistic}`)),
  ...['input', 'output'].map((side) => `${side}.<tensor>.share.<category>`),
  ...shadowFigures.map((figure) => `shadow.${figure}`),
  ...['in', 'out', 'dropped', 'dropped.<reason>'].map((count) => `route.<route>.${count}`),
  ...valueStatistics.map((statistic) => `route.<route>.value.<path>.${statistic}`),
  ...gaugeNames.flatMap((gauge) => [gauge, ...gaugeStatistics.map((statistic) => `${gauge}.${statistic}`)]),
];

export type Unit = 'count' | 'share' | 'ms' | 'bytes' | 'celsius' | 'value';

/** @throws AppError `request.invalid` that names the nearest */
export function parseMetric(text: string): Metric {
  const metric = readMetric(text);
  if (metric) return metric;
  const near = nearest(text.slice(0, 80), metricNames);
  const hint = near === undefined ? `one of ${shortList}` : `did you mean "${near}"?`;
  throw new AppError('request.invalid', `there is no metric "${text.slice(0, 80)}"; ${hint}`);
}

const shortList =
  'requests, errors, error-rate, latency.p99, queue.p99, compute.p99, input.<tensor>.mean, cpu, memory, disk, temperature, gpu';

export function unitOf(metric: Metric): Unit {
  switch (metric.source) {
    case 'counts':
      return metric.of === 'error-rate' ? 'share' : 'count';
    case 'shadow':
      return metric.of === 'agreement' ? 'share' : 'count';
    case 'stage':
      return 'ms';
    case 'tensor':
      return metric.statistic.kind === 'share' ? 'share' : 'value';
    case 'route':
      return 'path' in metric ? 'value' : 'count';
    case 'system':
      if (metric.gauge === 'temperature') return 'celsius';
      return metric.gauge === 'agent-memory' || metric.gauge === 'hosts-memory' ? 'bytes' : 'share';
  }
}

function readMetric(text: string): Metric | undefined {
  const dot = text.indexOf('.');
  const [head, rest] = dot < 0 ? [text, undefined] : [text.slice(0, dot), text.slice(dot + 1)];
  if (rest === undefined && (head === 'requests' || head === 'errors' || head === 'error-rate')) {
    return { source: 'counts', of: head };
  }
  if (head === 'errors' && rest !== undefined && rest !== '') return { source: 'counts', of: 'errors', code: rest };
  const stage = stages.find((one) => one === head);
  if (stage) return withStatistic(rest, numberStatistics, (statistic) => ({ source: 'stage', stage, statistic }));
  if (head === 'input' || head === 'output') return readTensor(head === 'input' ? 'inputs' : 'outputs', rest ?? '');
  if (head === 'shadow') {
    const of = shadowFigures.find((one) => one === rest);
    return of && { source: 'shadow', of };
  }
  if (head === 'route') return readRoute(rest ?? '');
  const gauge = gaugeNames.find((one) => one === head);
  if (!gauge) return undefined;
  return withStatistic(rest ?? 'mean', gaugeStatistics, (statistic) => ({ source: 'system', gauge, statistic }));
}

/** A tensor's name may have dots; a statistic's has none. */
function readTensor(side: 'inputs' | 'outputs', rest: string): Metric | undefined {
  const shareAt = rest.lastIndexOf('.share.');
  if (shareAt > 0) {
    const category = rest.slice(shareAt + '.share.'.length);
    const statistic: Statistic = { kind: 'share', of: 'category', category };
    return { source: 'tensor', side, tensor: rest.slice(0, shareAt), statistic };
  }
  const dot = rest.lastIndexOf('.');
  if (dot < 1) return undefined;
  const tensor = rest.slice(0, dot);
  return withStatistic(rest.slice(dot + 1), tensorStatistics, (statistic) => ({
    source: 'tensor',
    side,
    tensor,
    statistic,
  }));
}

/** A route's name has no dots; the path of a value in what it sends may. */
function readRoute(rest: string): Metric | undefined {
  const [route = '', of, ...more] = rest.split('.');
  if (route === '') return undefined;
  if (of === 'value' && more.length > 1) {
    const path = more.slice(0, -1).join('.');
    return withStatistic(more.at(-1), valueStatistics, (statistic) => ({ source: 'route', route, path, statistic }));
  }
  if (of === 'dropped' && more.length === 1) return { source: 'route', route, count: { of, reason: more[0] ?? '' } };
  if (more.length > 0 || (of !== 'in' && of !== 'out' && of !== 'dropped')) return undefined;
  return { source: 'route', route, count: { of } };
}

function withStatistic(
  text: string | undefined,
  allowed: readonly string[],
  make: (statistic: Statistic) => Metric,
): Metric | undefined {
  if (text === undefined || !allowed.includes(text)) return undefined;
  const q = Object.hasOwn(quantiles, text) ? quantiles[text] : undefined;
  if (q !== undefined) return make({ kind: 'quantile', q });
  if (text === 'missing' || text === 'nan' || text === 'infinite') {
    return make({ kind: 'share', of: text, category: '' });
  }
  return text === 'mean' || text === 'min' || text === 'max' ? make({ kind: text }) : undefined;
}
