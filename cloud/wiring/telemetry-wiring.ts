import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { builtProgram } from '#cloud/lifecycle/built-program.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import { TelemetryWorkerClient } from '#cloud/telemetry/telemetry-worker-client.js';
import { FleetMetrics } from '#cloud/telemetry/fleet-metrics.js';
import { startRecurring } from '#cloud/lifecycle/recurring.js';
import type { Ground } from './ground.js';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** How far sums lag behind what came, where nobody asks. */
const rollUpEveryMs = 15_000;
const megabyte = 1024 * 1024;

/** The telemetry store, in its thread. */
export async function openTelemetry({ config, shutdown }: Ground): Promise<TelemetryPort> {
  const telemetry = await TelemetryWorkerClient.start({
    entry: pathToFileURL(builtProgram('telemetry/telemetry-worker.js')),
    databasePath: join(config.dataDir, 'telemetry.db'),
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
export function keepTelemetry({ config, clock, logger, metrics, shutdown }: Ground, telemetry: TelemetryPort): void {
  const fleet = new FleetMetrics(metrics);
  const rollUp = async (): Promise<void> => {
    for (let behind = true; behind; ) {
      const { minutes, caughtUp } = await telemetry.rollUp();
      fleet.add(minutes);
      behind = !caughtUp;
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
  for (const task of tasks) shutdown.add(task.name, startRecurring(task, clock, logger));
}
