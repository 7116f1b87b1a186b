import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { type Metric, parseMetric, unitOf } from '#cloud/telemetry/metric.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import type { Routes } from '../app.js';
import { workspaceParams } from '../schemas/common.js';
import { seriesBody, seriesQuery } from '../schemas/telemetry.js';

export interface TelemetryRouteDeps {
  readonly telemetry: Pick<TelemetryPort, 'series'>;
  readonly clock: Clock;
}

export function telemetryRoutes({ telemetry, clock }: TelemetryRouteDeps): Routes {
  return (app) => {
    app.get(
      '/v1/workspaces/:workspace/telemetry',
      {
        config: { role: 'reader' },
        schema: {
          tags: ['telemetry'],
          summary: 'One metric of the workspace over a span that ends now, by device, module or version',
          params: workspaceParams,
          querystring: seriesQuery,
          response: { 200: seriesBody },
        },
      },
      async (request) => {
        const { metric: text, sinceSeconds, points, ...narrowing } = request.query;
        const metric = parseMetric(text);
        refuseMisfit(metric, narrowing);
        const toMs = clock.now();
        const fromMs = toMs - sinceSeconds * 1000;
        const { workspace } = request.params;
        const question = {
          workspace,
          metric,
          fromMs,
          toMs: toMs + 1,
          stepMs: (sinceSeconds * 1000) / points,
          ...narrowing,
        };
        const found = await telemetry.series(question);
        return {
          metric: text,
          unit: unitOf(metric),
          from: toInstant(found.fromMs),
          to: toInstant(toMs),
          stepSeconds: found.stepMs / 1000,
          series: found.series.map(({ key, samples, values }) => ({
            name: key === '' ? 'all' : key,
            samples,
            values: [...values],
          })),
          leftOff: found.leftOff,
        };
      },
    );
  };
}

interface Narrowing {
  readonly by?: string | undefined;
  readonly module?: unknown;
  readonly version?: unknown;
  readonly endpoint?: unknown;
}

/** A machine has no module, and no version. */
export function refuseMisfit(metric: Metric, { by, module, version, endpoint }: Narrowing): void {
  if (metric.source !== 'system') return;
  if (endpoint !== undefined) {
    throw new AppError('request.invalid', `"${metric.gauge}" is of devices: an endpoint runs on none`);
  }
  if (by === 'module' || by === 'version' || module !== undefined || version !== undefined) {
    throw new AppError('request.invalid', `"${metric.gauge}" is of the machine: ask by device, and for no module`);
  }
}
