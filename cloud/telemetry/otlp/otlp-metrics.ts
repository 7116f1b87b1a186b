/**
 * Metrics of the fleet as OpenTelemetry's protocol has them: an ExportMetricsServiceRequest in protobuf. Numbers of
 * fields are those of opentelemetry/proto/metrics/v1/metrics.proto. Counts are cumulative since the process began. Pure.
 */
import { deploymentOf } from '#cloud/services/service-source.js';
import { WireWriter } from '#shared/scoring/grpc/wire-writer.js';
import { type DeviceGauges, latencyBoundsMs, type ModuleTotals } from '../fleet-totals.js';
import { type GaugeName, gaugeNames } from '../system-gauges.js';

export interface OtlpSpan {
  readonly sinceMs: number;
  readonly nowMs: number;
  /** Of this program. */
  readonly version: string;
}

type Attributes = Readonly<Record<string, string>>;

const wire = { fixed64: 1 } as const;
const cumulative = 2;
const msPerSecond = 1000;
const gaugeUnits: Readonly<Record<GaugeName, string>> = {
  ...{ cpu: '1', memory: '1', disk: '1', gpu: '1', 'gpu-memory': '1' },
  ...{ temperature: 'Cel', 'agent-memory': 'By', 'hosts-memory': 'By' },
};

/** One request for some of the modules and machines. */
export function encodeMetrics(
  modules: readonly ModuleTotals[],
  machines: readonly DeviceGauges[],
  span: OtlpSpan,
): Buffer {
  const scopeMetrics = new WireWriter();
  scopeMetrics.inner(1, scopeOf(span.version));
  if (modules.length > 0) {
    for (const metric of moduleMetrics(modules, span)) scopeMetrics.inner(2, metric);
  }
  for (const name of gaugeNames) {
    const metric = gaugeMetric(name, machines, span);
    if (metric) scopeMetrics.inner(2, metric);
  }
  const resource = new WireWriter();
  resource.inner(1, attribute('service.name', 'flotilla'));
  resource.inner(1, attribute('service.version', span.version));
  const resourceMetrics = new WireWriter();
  resourceMetrics.inner(1, resource);
  resourceMetrics.inner(2, scopeMetrics);
  const request = new WireWriter();
  request.inner(1, resourceMetrics);
  return request.finish();
}

function* moduleMetrics(modules: readonly ModuleTotals[], span: OtlpSpan): Generator<WireWriter> {
  const requests = modules.map(({ names, requests }) => numberPoint(requests, attributesOf(names), span));
  yield sumMetric('flotilla.module.requests', 'Requests that modules took.', '{request}', requests);
  const errors = modules.flatMap(({ names, errors }) =>
    [...errors].map(([code, count]) => numberPoint(count, { ...attributesOf(names), 'error.type': code }, span)),
  );
  if (errors.length > 0) yield sumMetric('flotilla.module.errors', 'Requests that failed.', '{request}', errors);
  const histogram = new WireWriter();
  for (const totals of modules) histogram.inner(1, histogramPoint(totals, span));
  histogram.tag(2, 0);
  histogram.varint(cumulative);
  yield metricOf('flotilla.module.latency', 'Latency of answered requests.', 's', 9, histogram);
}

function gaugeMetric(name: GaugeName, machines: readonly DeviceGauges[], span: OtlpSpan): WireWriter | undefined {
  const gauge = new WireWriter();
  let points = 0;
  for (const { names, gauges } of machines) {
    const reading = gauges[name];
    if (!reading) continue;
    points += 1;
    gauge.inner(1, numberPoint(reading.sum / reading.count, attributesOf(names), span));
  }
  if (points === 0) return undefined;
  const metric = `flotilla.device.${name.replace('-', '.')}`;
  return metricOf(metric, `The ${name} of devices, over their last minute.`, gaugeUnits[name], 5, gauge);
}

function sumMetric(name: string, description: string, unit: string, points: readonly WireWriter[]): WireWriter {
  const sum = new WireWriter();
  for (const point of points) sum.inner(1, point);
  sum.tag(2, 0);
  sum.varint(cumulative);
  // is_monotonic
  sum.tag(3, 0);
  sum.varint(1);
  return metricOf(name, description, unit, 7, sum);
}

/** @param field of the kind of data: 5 gauge, 7 sum, 9 histogram */
function metricOf(name: string, description: string, unit: string, field: number, data: WireWriter): WireWriter {
  const metric = new WireWriter();
  metric.text(1, name);
  metric.text(2, description);
  metric.text(3, unit);
  metric.inner(field, data);
  return metric;
}

function numberPoint(value: number, attributes: Attributes, { sinceMs, nowMs }: OtlpSpan): WireWriter {
  const point = new WireWriter();
  times(point, sinceMs, nowMs);
  point.tag(4, wire.fixed64);
  point.double(value);
  addAttributes(point, 7, attributes);
  return point;
}

function histogramPoint(
  { names, latencyCounts, latencySumMs }: ModuleTotals,
  { sinceMs, nowMs }: OtlpSpan,
): WireWriter {
  const point = new WireWriter();
  times(point, sinceMs, nowMs);
  fixed64(point, 4, BigInt(latencyCounts.reduce((sum, count) => sum + count, 0)));
  point.tag(5, wire.fixed64);
  point.double(latencySumMs / msPerSecond);
  point.blob(6, bytesOf(BigUint64Array.from(latencyCounts, BigInt)));
  point.blob(7, bytesOf(Float64Array.from(latencyBoundsMs, (bound) => bound / msPerSecond)));
  addAttributes(point, 9, attributesOf(names));
  return point;
}

function times(point: WireWriter, sinceMs: number, nowMs: number): void {
  fixed64(point, 2, BigInt(Math.round(sinceMs)) * 1_000_000n);
  fixed64(point, 3, BigInt(Math.round(nowMs)) * 1_000_000n);
}

function fixed64(writer: WireWriter, field: number, value: bigint): void {
  writer.tag(field, wire.fixed64);
  writer.fixed64(value);
}

function bytesOf(array: BigUint64Array | Float64Array): Uint8Array {
  return new Uint8Array(array.buffer);
}

function scopeOf(version: string): WireWriter {
  const scope = new WireWriter();
  scope.text(1, 'flotilla');
  scope.text(2, version);
  return scope;
}

function attributesOf(
  names: Readonly<Partial<Record<'workspace' | 'device' | 'module' | 'version', string>>>,
): Attributes {
  const { workspace, device, ...others } = names;
  const where = workspace === undefined ? {} : { workspace };
  const source = device === undefined ? {} : (deploymentOf(device) ?? { device });
  return Object.fromEntries(
    Object.entries({ ...where, ...source, ...others }).map(([name, value]) => [`flotilla.${name}`, value]),
  );
}

function addAttributes(writer: WireWriter, field: number, attributes: Attributes): void {
  for (const [key, value] of Object.entries(attributes)) writer.inner(field, attribute(key, value));
}

function attribute(key: string, value: string): WireWriter {
  const any = new WireWriter();
  any.text(1, value);
  const pair = new WireWriter();
  pair.text(1, key);
  pair.inner(2, any);
  return pair;
}
