/** What both halves of the control plane build on. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { systemClock, type Clock } from '#shared/kernel/clock.js';
import type { Logger } from '#shared/platform/logger.js';
import { AuditLog } from '#cloud/audit/audit-log.js';
import { Revocations } from '#cloud/auth/revocations.js';
import type { CloudConfig } from '#cloud/config.js';
import type { Routes, Upgrade } from '#cloud/http/app.js';
import { Metrics } from '#cloud/http/metrics.js';
import type { ReadinessCheck } from '#cloud/http/routes/health-routes.js';
import type { Shutdown } from '#cloud/lifecycle/shutdown.js';
import { LiveEvents } from '#cloud/live/live-events.js';
import { BlobStore } from '#cloud/store/blob-store.js';
import { openControlDatabase, type ControlStore } from '#cloud/store/control-database.js';
import { LocalStorage } from '#cloud/storage/local-storage.js';
import type { WorkspaceStorage } from '#cloud/storage/workspace-storage.js';
import { lockDataFolder } from '#cloud/store/data-folder-lock.js';

export interface Ground {
  readonly config: CloudConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly shutdown: Shutdown;
  readonly control: ControlStore;
  readonly store: BlobStore;
  /** What was collected, by workspace. */
  readonly storage: WorkspaceStorage;
  readonly live: LiveEvents;
  readonly metrics: Metrics;
  readonly audit: AuditLog;
  readonly revocations: Revocations;
}

/** A half of the control plane, as the API sees it. */
export interface Part {
  readonly routes: readonly Routes[];
  readonly checks: readonly ReadinessCheck[];
  readonly upgrades?: readonly Upgrade[];
}

/** Each thing that is opened is closed again by `shutdown`. */
export async function layGround(config: CloudConfig, logger: Logger, shutdown: Shutdown): Promise<Ground> {
  const lock = await lockDataFolder(config.dataDir);
  shutdown.add('data folder lock', () => lock.release());
  const control = await openControlDatabase(join(config.dataDir, 'control.db'));
  shutdown.add('control database', () => control.destroy());
  const store = await BlobStore.open(join(config.dataDir, 'blobs'));
  const storage = await LocalStorage.open(control, join(config.dataDir, 'storage'), systemClock);
  const audit = new AuditLog(control, systemClock, randomUUID);
  const interrupted = await audit.recover();
  if (interrupted > 0) logger.warn({ interrupted }, 'changes were under way when the control plane ended last');
  const live = new LiveEvents((error) => logger.error({ err: error }, 'a live listener failed'));
  return {
    config,
    logger,
    clock: systemClock,
    shutdown,
    control,
    ...{ store, storage },
    live,
    metrics: new Metrics(),
    audit,
    revocations: new Revocations(),
  };
}
