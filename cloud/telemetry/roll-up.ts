/**
 * Sums up what came into minutes and hours. Each row of a batch counts once: how far the sums have come is written in
 * the transaction that adds. It runs beside the ingest, not in it, some rows at a time.
 */
import { type Kysely, sql } from 'kysely';
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import type { ModuleRollupTable, SystemRollupTable, TelemetryDatabase } from '#cloud/store/telemetry-tables.js';
import { joinCounts, joinSketches } from '#shared/protocol/merge-metrics.js';
import type { EncodedSketch } from '#shared/protocol/sketch.js';
import type { SystemMetrics } from '#shared/protocol/stream.js';
import { joinDetails, type ModuleDetail, readDetail } from './module-detail.js';
import { gaugesOf, joinGauges, type SystemGauges } from './system-gauges.js';

/** Seconds. */
export const resolutions = [60, 3600] as const;
export type Resolution = (typeof resolutions)[number];

export interface ModuleRollup extends Pick<ModuleRollupTable, 'workspace' | 'device' | 'module' | 'version'> {
  readonly digest: string;
  readonly provider: string;
  readonly resolution: number;
  readonly startAt: number;
  requests: number;
  errors: Record<string, number>;
  latency: EncodedSketch;
  detail: ModuleDetail;
}

interface SystemRollup extends Pick<SystemRollupTable, 'workspace' | 'device' | 'resolution' | 'startAt'> {
  readings: number;
  gauges: SystemGauges;
  lastJson: string;
}

export type MachineMinute = Pick<SystemRollup, 'workspace' | 'device' | 'startAt' | 'gauges'>;

export interface RolledUp {
  /** What was new, by minute. */
  readonly minutes: readonly ModuleRollup[];
  readonly machines: readonly MachineMinute[];
  /** Whether nothing is left. */
  readonly caughtUp: boolean;
}

const rowsPerStep = 2_000;

export async function rollUp(db: TelemetryStore, limit = rowsPerStep): Promise<RolledUp> {
  return db.transaction().execute(async (transaction) => {
    const modules = await moduleStep(transaction, limit);
    const systems = await systemStep(transaction, limit);
    const caughtUp = modules.rows < limit && systems.rows < limit;
    return { minutes: modules.minutes, machines: systems.machines, caughtUp };
  });
}

async function moduleStep(
  db: Kysely<TelemetryDatabase>,
  limit: number,
): Promise<{ readonly minutes: readonly ModuleRollup[]; readonly rows: number }> {
  const rows = await db
    .selectFrom('moduleMetrics')
    .select(sql<number>`rowid`.as('row'))
    .selectAll()
    .where(sql<number>`rowid`, '>', await readCursor(db, 'moduleMetrics'))
    .orderBy(sql`rowid`)
    .limit(limit)
    .execute();
  const sums = new Map<string, ModuleRollup>();
  for (const row of rows) {
    const { workspace, device, module, version, digest, provider, receivedAt } = row;
    const key = { workspace, device, module, version, digest, provider: provider ?? '' };
    const own = {
      requests: row.requests,
      errors: JSON.parse(row.errorsJson) as Record<string, number>,
      latency: JSON.parse(row.latencyJson) as EncodedSketch,
      detail: readDetail(row.detailJson),
    };
    for (const resolution of resolutions) {
      const startAt = startOf(receivedAt, resolution);
      const name = JSON.stringify([resolution, startAt, ...Object.values(key)]);
      const before = sums.get(name);
      if (before) addTo(before, own);
      else sums.set(name, { ...key, resolution, startAt, ...own });
    }
  }
  const minutes = [...sums.values()].filter(({ resolution }) => resolution === 60).map((sum) => ({ ...sum }));
  for (const sum of sums.values()) await storeModule(db, sum);
  const last = rows.at(-1);
  if (last) await writeCursor(db, 'moduleMetrics', last.row);
  return { minutes, rows: rows.length };
}

function addTo(sum: ModuleRollup, more: Pick<ModuleRollup, 'requests' | 'errors' | 'latency' | 'detail'>): void {
  sum.requests += more.requests;
  sum.errors = joinCounts(sum.errors, more.errors);
  sum.latency = joinSketches(sum.latency, more.latency);
  sum.detail = joinDetails(sum.detail, more.detail);
}

async function storeModule(db: Kysely<TelemetryDatabase>, sum: ModuleRollup): Promise<void> {
  const { errors, latency, detail, requests, ...key } = sum;
  let query = db.selectFrom('moduleRollups').select(['requests', 'errorsJson', 'latencyJson', 'detailJson']);
  for (const [column, value] of Object.entries(key)) {
    query = query.where(column as keyof typeof key, '=', value);
  }
  const before = await query.executeTakeFirst();
  if (before) {
    addTo(sum, {
      requests: before.requests,
      errors: JSON.parse(before.errorsJson) as Record<string, number>,
      latency: JSON.parse(before.latencyJson) as EncodedSketch,
      detail: readDetail(before.detailJson),
    });
  }
  const values = {
    requests: sum.requests,
    errorsJson: JSON.stringify(sum.errors),
    latencyJson: JSON.stringify(sum.latency),
    detailJson: Object.keys(sum.detail).length === 0 ? null : JSON.stringify(sum.detail),
  };
  await db
    .replaceInto('moduleRollups')
    .values({ ...key, ...values })
    .execute();
}

async function systemStep(
  db: Kysely<TelemetryDatabase>,
  limit: number,
): Promise<{ readonly machines: readonly MachineMinute[]; readonly rows: number }> {
  const rows = await db
    .selectFrom('systemMetrics')
    .select([sql<number>`rowid`.as('row'), 'workspace', 'device', 'receivedAt', 'systemJson'])
    .where(sql<number>`rowid`, '>', await readCursor(db, 'systemMetrics'))
    .orderBy(sql`rowid`)
    .limit(limit)
    .execute();
  const sums = new Map<string, SystemRollup>();
  for (const { workspace, device, receivedAt, systemJson } of rows) {
    const gauges = gaugesOf(JSON.parse(systemJson) as SystemMetrics);
    for (const resolution of resolutions) {
      const startAt = startOf(receivedAt, resolution);
      const name = JSON.stringify([resolution, startAt, workspace, device]);
      const before = sums.get(name) ?? {
        workspace,
        device,
        resolution,
        startAt,
        readings: 0,
        gauges: {},
        lastJson: '',
      };
      before.readings += 1;
      before.gauges = joinGauges(before.gauges, gauges);
      before.lastJson = systemJson;
      sums.set(name, before);
    }
  }
  for (const { readings, gauges, lastJson, ...key } of sums.values()) {
    const before = await db
      .selectFrom('systemRollups')
      .select(['readings', 'gaugesJson'])
      .where('workspace', '=', key.workspace)
      .where('resolution', '=', key.resolution)
      .where('startAt', '=', key.startAt)
      .where('device', '=', key.device)
      .executeTakeFirst();
    const joined = before ? joinGauges(JSON.parse(before.gaugesJson) as SystemGauges, gauges) : gauges;
    const values = { readings: readings + (before?.readings ?? 0), gaugesJson: JSON.stringify(joined), lastJson };
    await db
      .replaceInto('systemRollups')
      .values({ ...key, ...values })
      .execute();
  }
  const last = rows.at(-1);
  if (last) await writeCursor(db, 'systemMetrics', last.row);
  const machines = [...sums.values()].filter(({ resolution }) => resolution === 60);
  return { machines, rows: rows.length };
}

export function startOf(atMs: number, resolution: number): number {
  const stepMs = resolution * 1000;
  return Math.floor(atMs / stepMs) * stepMs;
}

export async function readCursor(db: Kysely<TelemetryDatabase>, name: string): Promise<number> {
  const row = await db.selectFrom('telemetryCursors').select('value').where('name', '=', name).executeTakeFirst();
  return row?.value ?? 0;
}

export async function writeCursor(db: Kysely<TelemetryDatabase>, name: string, value: number): Promise<void> {
  await db.replaceInto('telemetryCursors').values({ name, value }).execute();
}
