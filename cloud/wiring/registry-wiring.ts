import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { type ActivityKind, ActivityRunner } from '#cloud/activities/activity-runner.js';
import { activityRoutes } from '#cloud/http/routes/activity-routes.js';
import { blobRoutes } from '#cloud/http/routes/blob-routes.js';
import { eventRoutes } from '#cloud/http/routes/event-routes.js';
import { imageRoutes } from '#cloud/http/routes/image-routes.js';
import { maintenanceRoutes } from '#cloud/http/routes/maintenance-routes.js';
import { modelRoutes } from '#cloud/http/routes/model-routes.js';
import { workspaceRoutes } from '#cloud/http/routes/workspace-routes.js';
import { builtProgram } from '#cloud/lifecycle/built-program.js';
import { startRecurring } from '#cloud/lifecycle/recurring.js';
import { GarbageCollection } from '#cloud/registry/garbage-collection.js';
import { ImageIndex } from '#cloud/registry/image-index.js';
import { registerImage } from '#cloud/registry/register-image.js';
import { registerModel } from '#cloud/registry/register-model.js';
import { ActivityRepository } from '#cloud/store/activity-repository.js';
import { BlobRepository } from '#cloud/store/blob-repository.js';
import { HistoryRetention } from '#cloud/store/history-retention.js';
import { ImageRepository } from '#cloud/store/image-repository.js';
import { ModelRepository } from '#cloud/store/model-repository.js';
import { WorkspaceRepository } from '#cloud/store/workspace-repository.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import type { Ground, Part } from './ground.js';

const hourMs = 3_600_000;

export interface RegistryPart extends Part {
  readonly runner: ActivityRunner;
}

/**
 * Models, images, activities and the blobs they are made of.
 *
 * @param kinds activities of other parts
 */
export async function wireRegistry(
  ground: Ground,
  telemetry: Pick<TelemetryPort, 'eraseWorkspace'>,
  onImagesSigned: () => void,
  kinds: readonly ActivityKind[] = [],
): Promise<RegistryPart> {
  const { config, logger, clock, shutdown, control, store, live, metrics } = ground;
  const blobs = new BlobRepository(control);
  const models = new ModelRepository(control);
  const images = new ImageRepository(control);
  const activities = new ActivityRepository(control);
  const workspaces = new WorkspaceRepository(control);
  const index = new ImageIndex(store, images);
  await index.write();

  const workFolder = join(config.dataDir, 'work');
  await rm(workFolder, { recursive: true, force: true });
  await mkdir(workFolder, { recursive: true });
  const loadCheck = {
    entry: builtProgram('registry/load-check/main.js'),
    timeoutMs: config.limits.loadCheckSeconds * 1000,
  };
  const runner = new ActivityRunner({
    repository: activities,
    kinds: [
      registerModel({
        store,
        blobs,
        models,
        clock,
        loadCheck,
        maxModelBytes: config.limits.maxModelBytes,
        workFolder,
      }),
      registerImage({ store, blobs, images, models, index, clock, onSigned: onImagesSigned }),
      ...kinds,
    ],
    live,
    clock,
    newId: randomUUID,
    logger,
    concurrency: config.limits.activities,
  });
  await runner.resume();
  shutdown.add('activities', () => runner.stop());

  const garbage = new GarbageCollection(store, blobs, clock, config.retention.blobGraceHours * hourMs);
  const history = new HistoryRetention(control, clock, config.retention);
  shutdown.add(
    'retention',
    startRecurring(
      {
        name: 'retention',
        everyMs: hourMs,
        run: async () => {
          const collected = await garbage.run({ dryRun: false });
          if (collected.blobs > 0) logger.info(collected, 'blobs that nothing used were removed');
          const removed = await history.run();
          if (Object.keys(removed).length > 0) logger.info({ rows: removed }, 'what ended long ago was removed');
        },
      },
      clock,
      logger,
    ),
  );
  metrics.gauge('flotilla_activities', 'Activities, by kind and state.', async () =>
    (await activities.countByState()).map(({ kind, state, count }) => ({ labels: { kind, state }, value: count })),
  );
  return {
    runner,
    routes: [
      workspaceRoutes({ workspaces, index, telemetry, storage: ground.storage, live, clock }),
      blobRoutes({ store, blobs, clock, maxBlobBytes: config.limits.maxBlobBytes }),
      modelRoutes({ models, runner, store, clock }),
      imageRoutes({ images, models, index, runner, clock }),
      activityRoutes({ activities, runner }),
      eventRoutes({ live, revocations: ground.revocations, clock }),
      maintenanceRoutes({ garbage }),
    ],
    checks: [
      { name: 'database', check: async () => void (await sql`select 1 from workspaces`.execute(control)) },
      { name: 'blobs', check: () => store.proveWritable() },
    ],
  };
}
