/** Rows that a series is made of: hours, minutes where there are no hours yet, and batches where there are no minutes yet. */
import { type RawBuilder, sql } from 'kysely';
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import type { SystemMetrics } from '#shared/protocol/stream.js';
import { sourcesOf } from '#cloud/services/service-source.js';
import { tables } from './counted-rows.js';
import type { ModuleSpan } from './measure.js';
import { rowPages } from './row-pages.js';
import { readCursor, readSummed, type Resolution } from './summed.js';
import { gaugesOf, type SystemGauges } from './system-gauges.js';
import type { SeriesQuestion } from './telemetry-port.js';

export interface Span
  extends Pick<SeriesQuestion, 'workspace' | 'device' | 'endpoint' | 'module' | 'version' | 'fromMs' | 'toMs'> {
  readonly resolution: Resolution;
  /** Of modules: what else holds of a row. */
  readonly only?: RawBuilder<boolean> | undefined;
}

interface At {
  readonly startAt: number;
  readonly device: string;
}
type ModuleRow = ModuleSpan & At & { readonly module: string; readonly version: number; readonly digest: string };
type SystemRow = At & { readonly gauges: SystemGauges };

/** Of batches as they came. */
const rowsAtOnce = 5_000;

export async function eachModuleRow(db: TelemetryStore, span: Span, use: (row: ModuleRow) => void): Promise<void> {
  const { workspace, device, endpoint, module, version, only } = span;
  const { summed, open } = await partsOf(db, span);
  for (const { resolution, from, to } of summed) {
    let query = db
      .selectFrom('moduleRollups')
      .select([
        'device',
        'module',
        'version',
        'digest',
        'startAt',
        'requests',
        'errorsJson',
        'latencyJson',
        'detailJson',
      ])
      .where('workspace', '=', workspace)
      .where('resolution', '=', resolution)
      .where('startAt', '>=', from)
      .where('startAt', '<', to);
    if (device !== undefined) query = query.where('device', '=', device);
    if (endpoint !== undefined) {
      const [from, before] = sourcesOf(endpoint);
      query = query.where('device', '>=', from).where('device', '<', before);
    }
    if (only !== undefined) query = query.where(only);
    if (module !== undefined) query = query.where('module', '=', module);
    if (version !== undefined) query = query.where('version', '=', version);
    for (const row of await query.execute()) use(row);
  }
  if (open.from >= open.to) return;
  const pages = rowPages(await readCursor(db, tables.modules), rowsAtOnce, (after) => {
    let query = db
      .selectFrom('moduleMetrics')
      .select([sql<number>`rowid`.as('row'), 'device', 'module', 'version', 'digest', 'receivedAt as startAt'])
      .select(['requests', 'errorsJson', 'latencyJson', 'detailJson'])
      .where(device === undefined ? all : sql<string>`workspace`, '=', workspace)
      .where(sql<number>`rowid`, '>', after)
      .where('receivedAt', '>=', open.from)
      .where('receivedAt', '<', open.to)
      .orderBy(sql`rowid`)
      .limit(rowsAtOnce);
    if (device !== undefined) query = query.where('device', '=', device);
    if (endpoint !== undefined) {
      const [from, before] = sourcesOf(endpoint);
      query = query.where('device', '>=', from).where('device', '<', before);
    }
    if (only !== undefined) query = query.where(only);
    if (module !== undefined) query = query.where('module', '=', module);
    if (version !== undefined) query = query.where('version', '=', version);
    return query.execute();
  });
  for await (const rows of pages) for (const row of rows) use(row);
}

export async function eachSystemRow(db: TelemetryStore, span: Span, use: (row: SystemRow) => void): Promise<void> {
  const { workspace, device } = span;
  const { summed, open } = await partsOf(db, span);
  for (const { resolution, from, to } of summed) {
    let query = db
      .selectFrom('systemRollups')
      .select(['device', 'startAt', 'gaugesJson'])
      .where('workspace', '=', workspace)
      .where('resolution', '=', resolution)
      .where('startAt', '>=', from)
      .where('startAt', '<', to);
    if (device !== undefined) query = query.where('device', '=', device);
    for (const { gaugesJson, ...at } of await query.execute()) {
      use({ ...at, gauges: JSON.parse(gaugesJson) as SystemGauges });
    }
  }
  if (open.from >= open.to) return;
  const pages = rowPages(await readCursor(db, tables.systems), rowsAtOnce, (after) => {
    let query = db
      .selectFrom('systemMetrics')
      .select([sql<number>`rowid`.as('row'), 'device', 'receivedAt as startAt', 'systemJson'])
      .where(device === undefined ? all : sql<string>`workspace`, '=', workspace)
      .where(sql<number>`rowid`, '>', after)
      .where('receivedAt', '>=', open.from)
      .where('receivedAt', '<', open.to)
      .orderBy(sql`rowid`)
      .limit(rowsAtOnce);
    if (device !== undefined) query = query.where('device', '=', device);
    return query.execute();
  });
  for await (const rows of pages) {
    for (const { systemJson, ...at } of rows) {
      use({ ...at, gauges: gaugesOf(JSON.parse(systemJson) as SystemMetrics) });
    }
  }
}

/** Not by the index over devices: of all of them the newest rows are asked for. */
const all = sql<string>`+workspace`;

interface Slice {
  readonly resolution: Resolution;
  readonly from: number;
  readonly to: number;
}

async function partsOf(
  db: TelemetryStore,
  { fromMs, toMs, resolution, device }: Span,
): Promise<{ readonly summed: readonly Slice[]; readonly open: Pick<Slice, 'from' | 'to'> }> {
  const { minutesTo, hoursTo } = await readSummed(db);
  const minutesFrom = resolution === 3600 ? Math.max(fromMs, hoursTo) : fromMs;
  const slices = [
    ...(resolution === 3600 ? slicesOf(3600, fromMs, Math.min(toMs, hoursTo), device) : []),
    ...slicesOf(60, minutesFrom, Math.min(toMs, minutesTo), device),
  ];
  return { summed: slices, open: { from: Math.max(fromMs, minutesTo), to: toMs } };
}

/** A month asked for of a whole fleet does not fill the memory. */
function* slicesOf(resolution: Resolution, fromMs: number, toMs: number, device: string | undefined): Generator<Slice> {
  const lengthMs = resolution * 1000 * (device === undefined ? 5 : 500);
  for (let from = fromMs; from < toMs; from += lengthMs) {
    yield { resolution, from, to: Math.min(toMs, from + lengthMs) };
  }
}
