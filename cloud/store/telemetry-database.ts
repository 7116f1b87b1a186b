/** Telemetry in a file of its own: written often, and losing its last second is no loss. */
import type { Kysely } from 'kysely';
import type { Migration } from './migrate.js';
import * as spine from './migrations/telemetry-0001-spine.js';
import * as gaps from './migrations/telemetry-0002-gaps.js';
import * as rollups from './migrations/telemetry-0003-rollups.js';
import * as summedTo from './migrations/telemetry-0004-summed-to.js';
import { openSqlite } from './sqlite.js';
import type { TelemetryDatabase } from './telemetry-tables.js';

export type TelemetryStore = Kysely<TelemetryDatabase>;

export const telemetryMigrations: readonly Migration[] = [
  { name: 'telemetry-0001-spine', up: spine.up },
  { name: 'telemetry-0002-gaps', up: gaps.up },
  { name: 'telemetry-0003-rollups', up: rollups.up },
  { name: 'telemetry-0004-summed-to', up: summedTo.up },
];

export async function openTelemetryDatabase(path: string): Promise<TelemetryStore> {
  return openSqlite<TelemetryDatabase>(path, {
    ...{ synchronous: 'NORMAL', migrations: telemetryMigrations, keepsStatements: true },
  });
}
