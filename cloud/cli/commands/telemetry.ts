/** `flotilla telemetry`, also `flotilla device telemetry`: what a device or a deployment measured over a span, or one metric over time. */
import { Command, Option } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import { parseMetric } from '#cloud/telemetry/metric.js';
import { parseCount, parseDurationSeconds, parseName } from '../argument-parsers.js';
import { deploymentOf, sourceOf } from '#cloud/services/service-source.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { describeSeries } from '../series-text.js';
import { type Session, withSession } from '../session.js';
import { describeGaps, describeTelemetry } from '../telemetry-text.js';

interface TelemetryOptions {
  readonly since?: string;
  readonly module?: string;
  readonly gaps?: boolean;
  readonly metric?: string;
  readonly endpoint?: string;
  readonly by?: 'device' | 'module' | 'version';
  readonly points?: string;
}

const leastMetricSeconds = 60;
const maxPoints = 500;

export function telemetryCommand(io: CliIo): Command {
  const command = new Command('telemetry')
    .description(
      'Show requests, errors and latency of the modules of a device, and its load, or of a deployment of a web service; or one metric over time.',
    )
    .argument('[device]', 'whose, or endpoint/deployment; with --metric all where it is left out')
    .option('--since <duration>', 'how far back; 10m, and with --metric 1h, unless given')
    .option('--module <name>', 'only this module')
    .option('--gaps', 'show what the device had to let go, and why')
    .option('--metric <name>', 'one metric over time: requests, latency.p99, output.<tensor>.mean, cpu.max, …')
    .addOption(new Option('--by <key>', 'with --metric: a line for each').choices(['device', 'module', 'version']))
    .option('--endpoint <name>', 'with --metric: all deployments of this one')
    .option('--points <count>', 'with --metric: steps at most, each a minute at least')
    .action(async (text: string | undefined, options: TelemetryOptions) => {
      const device = text === undefined ? undefined : parseSource(text);
      const module = options.module === undefined ? {} : { module: parseName(options.module, 'module') };
      if (options.metric !== undefined) {
        parseMetric(options.metric);
        await withSession(io, command, (session) => showSeries(session, device, module, options));
        return;
      }
      if (device === undefined) {
        throw new AppError(
          'request.invalid',
          'name a device, or a metric of all: flotilla telemetry --metric requests',
        );
      }
      if (options.endpoint !== undefined) {
        throw new AppError(
          'request.invalid',
          '--endpoint is for --metric; of one deployment: flotilla telemetry fraud/blue',
        );
      }
      if (options.by !== undefined || options.points !== undefined) {
        throw new AppError('request.invalid', '--by and --points are for --metric: name one, for example latency.p99');
      }
      const sinceSeconds = parseDurationSeconds(options.since ?? '10m');
      await withSession(io, command, async ({ client, out }) => {
        const query = { sinceSeconds, ...module };
        const deployment = deploymentOf(device);
        const body = deployment
          ? await client.call(routes.deploymentTelemetry, { params: deployment, query })
          : await client.call(routes.deviceTelemetry, { params: { device }, query });
        out.result(body, () => (options.gaps === true ? describeGaps(body) : describeTelemetry(body)));
      });
    });
  return withExamples(
    command,
    'flotilla telemetry cam-1 --since 10m',
    'flotilla telemetry cam-1 --since 1d --module digits --output json',
    'flotilla telemetry --metric latency.p99 --module digits --by version --since 1d',
    'flotilla telemetry cam-1 --metric temperature.max',
    'flotilla telemetry cam-1 --gaps',
    'flotilla telemetry fraud/blue --since 1h',
    'flotilla telemetry --metric error-rate --endpoint fraud --by device',
  );
}

/** A device, or a deployment as `endpoint/deployment`. */
function parseSource(text: string): string {
  const deployment = deploymentOf(text);
  if (deployment === undefined) return parseName(text, 'device');
  return sourceOf(parseName(deployment.endpoint, 'endpoint'), parseName(deployment.deployment, 'deployment'));
}

async function showSeries(
  { client, out }: Session,
  device: string | undefined,
  module: { readonly module?: string },
  { metric = '', since = '1h', by, points, endpoint }: TelemetryOptions,
): Promise<void> {
  const query = {
    ...{ metric, sinceSeconds: Math.max(leastMetricSeconds, parseDurationSeconds(since)), ...module },
    ...(device === undefined ? {} : { device }),
    ...(endpoint === undefined ? {} : { endpoint: parseName(endpoint, 'endpoint') }),
    ...(by === undefined ? {} : { by }),
    ...(points === undefined ? {} : { points: parseCount(points, maxPoints) }),
  };
  const body = await client.call(routes.telemetrySeries, { query });
  out.result(body, () => describeSeries(body));
}
