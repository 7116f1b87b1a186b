/** What was collected: what the API tells of it, and how long it is kept. */
import { toInstant } from '#shared/kernel/clock.js';
import { dataRoutes } from '#cloud/http/routes/data-routes.js';
import { startRecurring } from '#cloud/lifecycle/recurring.js';
import type { Ground, Part } from './ground.js';

const dayMs = 86_400_000;
const megabyte = 1024 * 1024;
const thinEveryMs = 60_000;

export function wireData({ config, storage, clock, logger, metrics, shutdown }: Ground): Part {
  const run = async (): Promise<void> => {
    const { dataDays, dataMegabytes } = config.retention;
    const gone = await storage.thin({
      maxBytes: dataMegabytes * megabyte,
      before: toInstant(clock.now() - dataDays * dayMs),
    });
    if (gone.files > 0) logger.info(gone, 'collected data that was too old, or too much, was removed');
  };
  const name = 'retention of collected data';
  shutdown.add(name, startRecurring({ name, everyMs: thinEveryMs, run }, clock, logger));
  metrics.gauge('flotilla_collected_bytes', 'Collected data in the storage of all workspaces.', async () => [
    { value: (await storage.use()).bytes },
  ]);
  return { routes: [dataRoutes({ storage })], checks: [] };
}
