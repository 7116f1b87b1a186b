/** One thread that stores and one that answers: by write-ahead log neither waits for the other. */
import type { TelemetryPort } from './telemetry-port.js';
import { TelemetryWorkerClient, type TelemetryWorkerOptions } from './telemetry-worker-client.js';

export async function startTelemetryThreads(options: Omit<TelemetryWorkerOptions, 'task'>): Promise<TelemetryPort> {
  // Alone at first: it may have to change the tables.
  const storing = await TelemetryWorkerClient.start({ ...options, task: 'stores' });
  let asked: TelemetryWorkerClient;
  try {
    asked = await TelemetryWorkerClient.start({ ...options, task: 'asks' });
  } catch (error) {
    await storing.close();
    throw error;
  }
  const { ingest, rollUp, thin, prune, eraseWorkspace } = storing;
  const { telemetry, events, series, cohort, shadows, sides, newEvents } = asked;
  return {
    ...{ ingest, rollUp, thin, prune, eraseWorkspace },
    ...{ telemetry, events, series, cohort, shadows, sides, newEvents },
    close: async () => {
      await asked.close();
      await storing.close();
    },
  };
}
