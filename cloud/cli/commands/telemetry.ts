/** `flotilla telemetry`, also `flotilla device telemetry`: what a device measured over a span. */
import { Command } from 'commander';
import type { TelemetryBody } from '#cloud/http/schemas/telemetry.js';
import type { GpuMetrics } from '#shared/protocol/stream.js';
import { routes } from '#cloud/client/routes.js';
import { parseDurationSeconds, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatBytes, formatFields, formatTable } from '../output.js';
import { withSession } from '../session.js';

interface TelemetryOptions {
  readonly since: string;
  readonly module?: string;
  readonly gaps?: boolean;
}

export function telemetryCommand(io: CliIo): Command {
  const command = new Command('telemetry')
    .description('Show requests, errors and latency of the modules of a device, and its load.')
    .argument('<device>')
    .option('--since <duration>', 'how far back', '10m')
    .option('--module <name>', 'only this module')
    .option('--gaps', 'show what the device had to let go, and why')
    .action(async (text: string, options: TelemetryOptions) => {
      const device = parseName(text, 'device');
      const sinceSeconds = parseDurationSeconds(options.since);
      const module = options.module === undefined ? {} : { module: parseName(options.module, 'module') };
      await withSession(io, command, async ({ client, out }) => {
        const query = { sinceSeconds, ...module };
        const body = await client.call(routes.deviceTelemetry, { params: { device }, query });
        out.result(body, () => (options.gaps === true ? describeGaps(body) : describeTelemetry(body)));
      });
    });
  return withExamples(
    command,
    'flotilla telemetry cam-1 --since 10m',
    'flotilla telemetry cam-1 --since 1d --module digits --output json',
    'flotilla telemetry cam-1 --gaps',
  );
}

function describeTelemetry(body: TelemetryBody): string {
  const { system } = body;
  const head = formatFields([
    ['device', body.device],
    ['span', `${body.from} to ${body.to}`],
    [
      'batches',
      `${String(body.batches)}, ${String(body.dropped)} dropped by the device${body.dropped > 0 ? ' (see --gaps)' : ''}`,
    ],
    ['last', body.lastAt ?? 'none'],
    ['cpu', system && `${(system.cpu * 100).toFixed(0)} %`],
    ['memory', system && `${formatBytes(system.memoryUsedBytes)} of ${formatBytes(system.memoryTotalBytes)}`],
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
  return `${head}\n${formatTable(['MODULE', 'PROVIDER', 'REQUESTS', 'ERRORS', 'P50 MS', 'P90 MS', 'P99 MS', 'MAX MS'], rows)}`;
}

function describeGaps({ device, gaps }: TelemetryBody): string {
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
