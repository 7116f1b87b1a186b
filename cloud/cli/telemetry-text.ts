/** What a device measured, in words and tables for a person. */
import type { TelemetryBody } from '#cloud/http/schemas/telemetry.js';
import type { GpuMetrics } from '#shared/protocol/stream.js';
import { formatBytes, formatFields, formatTable } from './output.js';
import { describeComparisons } from './shadow-text.js';

export function describeTelemetry(body: TelemetryBody): string {
  const { system } = body;
  const head = formatFields([
    [body.device.includes('/') ? 'deployment' : 'device', body.device],
    ['span', `${body.from} to ${body.to}`],
    ['batches', `${String(body.batches)}, ${String(body.dropped)} dropped${body.dropped > 0 ? ' (see --gaps)' : ''}`],
    ['last', body.lastAt ?? 'none'],
    ['cpu', system && `${(system.cpu * 100).toFixed(0)} %`],
    ['memory', system && `${formatBytes(system.memoryUsedBytes)} of ${formatBytes(system.memoryTotalBytes)}`],
    ['temperature', celsius(system?.temperatureCelsius)],
    ['disk', system && `${formatBytes(system.diskUsedBytes)} of ${formatBytes(system.diskTotalBytes)}`],
    ['agent', system && `${formatBytes(system.agentRssBytes)}, scoring hosts ${formatBytes(system.hostsRssBytes)}`],
    ...(system?.gpus ?? []).map((gpu): [string, string] => ['gpu', gpuText(gpu)]),
  ]);
  if (body.modules.length === 0) return `${head}\nno module answered anything in this span\n`;
  const rows = body.modules.map((module) => [
    `${module.module}:${String(module.version)}`,
    module.provider ?? '-',
    String(module.requests),
    errorsOf(module.errors),
    ...[module.latencyMs.p50, module.latencyMs.p90, module.latencyMs.p99, module.latencyMs.max].map(milliseconds),
  ]);
  const table = formatTable(['MODULE', 'PROVIDER', 'REQUESTS', 'ERRORS', 'P50 MS', 'P90 MS', 'P99 MS', 'MAX MS'], rows);
  return [head, table, describeComparisons(body), describeStages(body), describeTensors(body)]
    .filter((part) => part !== '')
    .join('\n');
}

function describeStages({ modules }: TelemetryBody): string {
  const rows = modules.flatMap(({ module, version, queueMs, computeMs }) =>
    [['queue', queueMs] as const, ['compute', computeMs] as const].flatMap(([stage, figures]) =>
      figures === undefined
        ? []
        : [
            [
              `${module}:${String(version)}`,
              stage,
              ...[figures.p50, figures.p90, figures.p99, figures.max].map(milliseconds),
            ],
          ],
    ),
  );
  return rows.length === 0 ? '' : formatTable(['MODULE', 'STAGE', 'P50 MS', 'P90 MS', 'P99 MS', 'MAX MS'], rows);
}

function describeTensors({ modules }: TelemetryBody): string {
  const rows = modules.flatMap(({ module, version, tensors = [] }) =>
    tensors.map(({ side, name, elements, missing, numbers, categories = [] }) => [
      `${module}:${String(version)}`,
      `${side} ${name}`,
      String(elements),
      String(missing),
      numbers === undefined ? '-' : String(numbers.nan),
      numbers === undefined
        ? categories
            .slice(0, 5)
            .map(({ value, count }) => `${value} ${share(count, elements)}`)
            .join(', ')
        : `mean ${figure(numbers.mean)}, p10 ${figure(numbers.p10)}, p50 ${figure(numbers.p50)}, p90 ${figure(numbers.p90)}, ` +
          `${figure(numbers.min)} to ${figure(numbers.max)}`,
    ]),
  );
  return rows.length === 0 ? '' : formatTable(['MODULE', 'TENSOR', 'ELEMENTS', 'MISSING', 'NAN', 'VALUES'], rows);
}

function share(count: number, of: number): string {
  return of === 0 ? '-' : `${((100 * count) / of).toFixed(0)} %`;
}

function figure(value: number | null): string {
  return value === null ? '-' : String(Number(value.toPrecision(4)));
}

function celsius(degrees: number | undefined): string | undefined {
  return degrees === undefined ? undefined : `${degrees.toFixed(0)} °C`;
}

export function describeGaps({ device, gaps }: TelemetryBody): string {
  if (gaps.length === 0) return `${device} has let nothing go\n`;
  const rows = gaps.map(({ kind, bootId, from, upTo, reason, receivedAt }) => [
    kind,
    String(bootId),
    from === upTo ? String(from) : `${String(from)} to ${String(upTo)}`,
    String(upTo - from + 1),
    reason ?? '-',
    receivedAt,
  ]);
  return formatTable(['KIND', 'BOOT', 'BATCHES', 'COUNT', 'REASON', 'TOLD'], rows);
}

function gpuText({ name, busy, memoryUsedBytes, memoryTotalBytes }: GpuMetrics): string {
  const parts = [
    name,
    ...(busy === undefined ? [] : [`${(busy * 100).toFixed(0)} %`]),
    ...(memoryUsedBytes === undefined ? [] : [`memory ${formatBytes(memoryUsedBytes)}`]),
  ];
  return `${parts.join(', ')}${memoryTotalBytes === undefined ? '' : ` of ${formatBytes(memoryTotalBytes)}`}`;
}

function errorsOf(errors: Readonly<Record<string, number>>): string {
  const parts = Object.entries(errors).map(([code, count]) => `${code} ${String(count)}`);
  return parts.length === 0 ? '0' : parts.join(', ');
}

function milliseconds(value: number | null): string {
  return value === null ? '-' : value.toFixed(value < 10 ? 2 : 1);
}
