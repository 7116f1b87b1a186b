import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { builtProgram } from '#cloud/lifecycle/built-program.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import { TelemetryWorkerClient } from '#cloud/telemetry/telemetry-worker-client.js';
import type { Ground } from './ground.js';

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
