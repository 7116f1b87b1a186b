/** The truth of the control plane: everything but telemetry and blobs. */
import type { Kysely, Transaction } from 'kysely';
import type { Migration } from './migrate.js';
import * as spine from './migrations/0001-spine.js';
import * as identity from './migrations/0002-identity.js';
import * as operators from './migrations/0003-operators.js';
import * as trust from './migrations/0004-trust.js';
import * as updates from './migrations/0005-updates.js';
import * as alerts from './migrations/0006-alerts.js';
import * as fleets from './migrations/0007-fleets.js';
import * as routes from './migrations/0008-routes.js';
import * as rollouts from './migrations/0009-rollouts.js';
import * as gates from './migrations/0010-gates.js';
import * as shadows from './migrations/0011-shadows.js';
import * as rolloutTimes from './migrations/0012-rollout-times.js';
import * as layers from './migrations/0013-layers.js';
import * as lists from './migrations/0014-lists.js';
import * as commands from './migrations/0015-commands.js';
import * as pages from './migrations/0016-pages.js';
import * as fleetLayers from './migrations/0017-fleet-layers.js';
import * as schedules from './migrations/0019-one-table-of-schedules.js';
import * as services from './migrations/0020-services.js';
import * as shifts from './migrations/0021-shifts.js';
import * as storage from './migrations/0022-storage.js';
import { openSqlite } from './sqlite.js';
import type { ControlDatabase } from './tables.js';

export type ControlStore = Kysely<ControlDatabase>;
export type ControlTransaction = Transaction<ControlDatabase>;

export const controlMigrations: readonly Migration[] = [
  { name: '0001-spine', up: spine.up },
  { name: '0002-identity', up: identity.up },
  { name: '0003-operators', up: operators.up },
  { name: '0004-trust', up: trust.up },
  { name: '0005-updates', up: updates.up },
  { name: '0006-alerts', up: alerts.up },
  { name: '0007-fleets', up: fleets.up },
  { name: '0008-routes', up: routes.up },
  { name: '0009-rollouts', up: rollouts.up },
  { name: '0010-gates', up: gates.up },
  { name: '0011-shadows', up: shadows.up },
  { name: '0012-rollout-times', up: rolloutTimes.up },
  { name: '0013-layers', up: layers.up },
  { name: '0014-lists', up: lists.up },
  { name: '0015-commands', up: commands.up },
  { name: '0016-pages', up: pages.up },
  { name: '0017-fleet-layers', up: fleetLayers.up },
  { name: '0019-one-table-of-schedules', up: schedules.up },
  { name: '0020-services', up: services.up },
  { name: '0021-shifts', up: shifts.up },
  { name: '0022-storage', up: storage.up },
];

/** A commit here survives a power cut: desired generations must never fall. */
export async function openControlDatabase(path: string): Promise<ControlStore> {
  return openSqlite<ControlDatabase>(path, { synchronous: 'FULL', migrations: controlMigrations });
}
