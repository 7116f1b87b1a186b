import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { builtProgram } from '#cloud/lifecycle/built-program.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import { startTelemetryThreads } from '#cloud/telemetry/telemetry-threads.js';
import { FleetMetrics } from '#cloud/telemetry/fleet-metrics.js';
import { FleetTotals } from '#cloud/telemetry/fleet-totals.js';
import { OtlpExport } from '#cloud/telemetry/otlp/otlp-export.js';
import { readOtlpHeaders } from '#cloud/telemetry/otlp/otlp-headers.js';
import { startRecurring } from '#cloud/lifecycle/recurring.js';
import type { Ground } from './ground.js';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** How far sums lag behind what came, where nobody asks. */
const rollUpEveryMs = 15_000;
const megabyte = 1024 * 1024;

/** The telemetry store, in its threads. */
export async function openTelemetry({ config, shutdown }: Ground): Promise<TelemetryPort> {
  const telemetry = await startTelemetryThreads({
    entry: pathToFileURL(builtProgram('telemetry/telemetry-worker.js')),
    databasePath: join(config.dataDir, 'telemetry.db'),
    tellsDevices: config.otlp.url !== undefined,
    onFailure: (error) => {
      // A bug in our own code: end, and be started anew, rather than go on half.
      setImmediate(() => {
        throw error;
      });
    },
  });
  shutdown.add('telemetry store', () => telemetry.close());
  return telemetry;
}

/** What time asks for: sums of what came, and what is forgotten. Other work gets its turn between two steps. */
export async function keepTelemetry(ground: Ground, telemetry: TelemetryPort, version: string): Promise<void> {
  const { config, clock, logger, metrics, shutdown } = ground;
  const fleet = new FleetMetrics(metrics);
  const totals = new FleetTotals(clock.now());
  const rollUp = async (): Promise<void> => {
    for (let behind = true; behind; ) {
      const summed = await telemetry.rollUp();
      fleet.add(summed.modules);
      if (config.otlp.url !== undefined) totals.add(summed);
      behind = !summed.caughtUp;
    }
  };
  const thin = async (): Promise<void> => {
    const { telemetryRawHours, telemetryMinuteDays, telemetryDays, telemetryMegabytes } = config.retention;
    const now = clock.now();
    const retention = {
      rawBeforeMs: now - telemetryRawHours * hourMs,
      minutesBeforeMs: now - telemetryMinuteDays * dayMs,
      beforeMs: now - telemetryDays * dayMs,
      maxBytes: telemetryMegabytes * megabyte,
    };
    let rows = 0;
    for (let step = await telemetry.thin(retention); step.more; step = await telemetry.thin(retention)) {
      rows += step.removed;
    }
    if (rows > 0) logger.info({ rows }, 'old telemetry was removed');
  };
  const tasks = [
    { name: 'sums of telemetry', everyMs: rollUpEveryMs, run: rollUp },
    { name: 'retention of telemetry', everyMs: hourMs, run: thin },
  ];
  const otlp = await openOtlp(ground, totals, version);
  if (otlp) {
    const run = (): Promise<void> => otlp.run();
    tasks.push({ name: 'metrics to the collector', everyMs: config.otlp.everySeconds * 1000, run });
  }
  for (const task of tasks) shutdown.add(task.name, startRecurring(task, clock, logger));
}

async function openOtlp(
  { config, clock, logger, metrics }: Ground,
  totals: FleetTotals,
  version: string,
): Promise<OtlpExport | undefined> {
  const { url, headersFile } = config.otlp;
  if (url === undefined) return undefined;
  const headers = headersFile === undefined ? {} : await readOtlpHeaders(headersFile);
  const exports = metrics.counter(
    'flotilla_otlp_requests_total',
    'Requests to the OpenTelemetry collector, by outcome.',
  );
  return new OtlpExport({ url, headers, totals, version, clock, logger, exports });
}
