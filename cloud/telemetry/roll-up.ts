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

const rowsPerStep = 4_000;

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
  for (const part of partsOf([...sums.values()])) await storeModules(db, part);
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

async function storeModules(
  db: Kysely<TelemetryDatabase>,
  { workspace, resolution, startAt, sums }: Part<ModuleRollup>,
) {
  const stored = await db
    .selectFrom('moduleRollups')
    .select([
      'device',
      'module',
      'version',
      'digest',
      'provider',
      'requests',
      'errorsJson',
      'latencyJson',
      'detailJson',
    ])
    .where('workspace', '=', workspace)
    .where('resolution', '=', resolution)
    .where('startAt', '=', startAt)
    .where('device', 'in', devicesOf(sums))
    .execute();
  const before = new Map(stored.map((row) => [nameOf(row), row]));
  const rows = sums.map((sum) => {
    const earlier = before.get(nameOf(sum));
    if (earlier) {
      addTo(sum, {
        requests: earlier.requests,
        errors: JSON.parse(earlier.errorsJson) as Record<string, number>,
        latency: JSON.parse(earlier.latencyJson) as EncodedSketch,
        detail: readDetail(earlier.detailJson),
      });
    }
    const { errors, latency, detail, ...same } = sum;
    return {
      ...same,
      errorsJson: JSON.stringify(errors),
      latencyJson: JSON.stringify(latency),
      detailJson: Object.keys(detail).length === 0 ? null : JSON.stringify(detail),
    };
  });
  await db.replaceInto('moduleRollups').values(rows).execute();
}

const nameOf = (row: Pick<ModuleRollup, 'device' | 'module' | 'version' | 'digest' | 'provider'>): string =>
  JSON.stringify([row.device, row.module, row.version, row.digest, row.provider]);

/** Sums of one span, few enough for one statement. */
interface Part<Sum> {
  readonly workspace: string;
  readonly resolution: number;
  readonly startAt: number;
  readonly sums: readonly Sum[];
}

const sumsPerStatement = 500;

function partsOf<Sum extends Omit<Part<never>, 'sums'>>(sums: readonly Sum[]): Part<Sum>[] {
  const spans = new Map<string, Sum[]>();
  for (const sum of sums) {
    const span = JSON.stringify([sum.workspace, sum.resolution, sum.startAt]);
    const own = spans.get(span) ?? [];
    spans.set(span, own);
    own.push(sum);
  }
  return [...spans.values()].flatMap((own) => {
    const parts: Part<Sum>[] = [];
    for (let at = 0; at < own.length; at += sumsPerStatement) {
      const part = own.slice(at, at + sumsPerStatement);
      const [first] = part;
      if (!first) continue;
      const { workspace, resolution, startAt } = first;
      parts.push({ workspace, resolution, startAt, sums: part });
    }
    return parts;
  });
}

function devicesOf(sums: readonly { readonly device: string }[]): string[] {
  return [...new Set(sums.map(({ device }) => device))];
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
  const machines = [...sums.values()].filter(({ resolution }) => resolution === 60).map((sum) => ({ ...sum }));
  for (const part of partsOf([...sums.values()])) await storeSystems(db, part);
  const last = rows.at(-1);
  if (last) await writeCursor(db, 'systemMetrics', last.row);
  return { machines, rows: rows.length };
}

async function storeSystems(
  db: Kysely<TelemetryDatabase>,
  { workspace, resolution, startAt, sums }: Part<SystemRollup>,
) {
  const stored = await db
    .selectFrom('systemRollups')
    .select(['device', 'readings', 'gaugesJson'])
    .where('workspace', '=', workspace)
    .where('resolution', '=', resolution)
    .where('startAt', '=', startAt)
    .where('device', 'in', devicesOf(sums))
    .execute();
  const before = new Map(stored.map((row) => [row.device, row]));
  const rows = sums.map(({ readings, gauges, ...same }) => {
    const earlier = before.get(same.device);
    const joined = earlier ? joinGauges(JSON.parse(earlier.gaugesJson) as SystemGauges, gauges) : gauges;
    return { ...same, readings: readings + (earlier?.readings ?? 0), gaugesJson: JSON.stringify(joined) };
  });
  await db.replaceInto('systemRollups').values(rows).execute();
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
