/** Questions to the telemetry database. Rows are read in pages, so a year asked for does not fill the memory. */
import { sql } from 'kysely';
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import {
  decodeSketch,
  emptySketch,
  encodedSketchSchema,
  mergeSketch,
  quantile,
  type Sketch,
} from '#shared/protocol/sketch.js';
import { systemMetricsSchema } from '#shared/protocol/stream.js';
import type {
  EventsAnswer,
  EventsQuestion,
  ModuleTelemetry,
  StreamGap,
  TelemetryAnswer,
  TelemetryQuestion,
} from './telemetry-port.js';

const pageSize = 5_000;
const maxGaps = 100;

interface Gathered {
  readonly module: string;
  readonly version: number;
  readonly digest: string;
  readonly provider: string | null;
  requests: number;
  readonly errors: Record<string, number>;
  readonly latency: Sketch;
}

export async function readTelemetry(db: TelemetryStore, question: TelemetryQuestion): Promise<TelemetryAnswer> {
  const { workspace, device, fromMs } = question;
  const modules = await gatherModules(db, question);
  const system = await db
    .selectFrom('systemMetrics')
    .select('systemJson')
    .where('workspace', '=', workspace)
    .where('device', '=', device)
    .where('receivedAt', '>=', fromMs)
    .orderBy('receivedAt', 'desc')
    .orderBy(sql`rowid`, 'desc')
    .limit(1)
    .executeTakeFirst();
  const { batches, lastAt } = await countBatches(db, question);
  const dropped = await db
    .selectFrom('streamMarks')
    .select((query) => query.fn.sum<number>('dropped').as('dropped'))
    .where('workspace', '=', workspace)
    .where('device', '=', device)
    .where('kind', '=', 'telemetry')
    .executeTakeFirst();
  return {
    batches,
    lastAtMs: lastAt ?? undefined,
    dropped: Number(dropped?.dropped ?? 0),
    gaps: await readGaps(db, question),
    modules,
    system: system && systemMetricsSchema.parse(JSON.parse(system.systemJson)),
  };
}

export async function readEvents(db: TelemetryStore, question: EventsQuestion): Promise<EventsAnswer> {
  const query = db
    .selectFrom('deviceEvents')
    .select([sql<number>`rowid`.as('row'), 'at', 'receivedAt', 'level', 'type', 'module', 'message'])
    .where('workspace', '=', question.workspace)
    .where('device', '=', question.device)
    .orderBy(sql`rowid`, 'desc')
    .limit(question.limit + 1);
  const rows = await (question.before === undefined
    ? query
    : query.where(sql<number>`rowid`, '<', question.before)
  ).execute();
  const shown = rows.slice(0, question.limit);
  const last = shown.at(-1);
  return {
    events: shown.map(({ row: _row, module, ...event }) => ({ ...event, ...(module === null ? {} : { module }) })),
    ...(rows.length > question.limit && last ? { next: last.row } : {}),
  };
}

async function readGaps(db: TelemetryStore, { workspace, device }: TelemetryQuestion): Promise<StreamGap[]> {
  const rows = await db
    .selectFrom('streamGaps')
    .selectAll()
    .where('workspace', '=', workspace)
    .where('device', '=', device)
    .orderBy('receivedAt', 'desc')
    .orderBy(sql`rowid`, 'desc')
    .limit(maxGaps)
    .execute();
  return rows.map(({ kind, bootId, fromSequence, upToSequence, reason, receivedAt }) => ({
    kind,
    bootId,
    from: fromSequence,
    upTo: upToSequence,
    reason: reason ?? undefined,
    receivedAtMs: receivedAt,
  }));
}

async function gatherModules(db: TelemetryStore, question: TelemetryQuestion): Promise<ModuleTelemetry[]> {
  const gathered = new Map<string, Gathered>();
  let after = 0;
  for (;;) {
    const base = db
      .selectFrom('moduleMetrics')
      .select([
        sql<number>`rowid`.as('row'),
        'module',
        'version',
        'digest',
        'provider',
        'requests',
        'errorsJson',
        'latencyJson',
      ])
      .where('workspace', '=', question.workspace)
      .where('device', '=', question.device)
      .where('receivedAt', '>=', question.fromMs)
      .where(sql<number>`rowid`, '>', after)
      .orderBy(sql`rowid`)
      .limit(pageSize);
    const page = await (question.module === undefined ? base : base.where('module', '=', question.module)).execute();
    for (const row of page) {
      const key = JSON.stringify([row.module, row.version, row.digest, row.provider]);
      const into = gathered.get(key) ?? { ...row, requests: 0, errors: {}, latency: emptySketch() };
      gathered.set(key, into);
      into.requests += row.requests;
      for (const [code, count] of Object.entries(JSON.parse(row.errorsJson) as Record<string, number>)) {
        into.errors[code] = (into.errors[code] ?? 0) + count;
      }
      // A device may have sent a sketch that is none; its counts still count.
      const sketch = decodeSketch(encodedSketchSchema.parse(JSON.parse(row.latencyJson)));
      if (sketch) mergeSketch(into.latency, sketch);
    }
    const last = page.at(-1);
    if (page.length < pageSize || !last) break;
    after = last.row;
  }
  return [...gathered.values()]
    .map(summarise)
    .sort((a, b) => (a.module === b.module ? a.version - b.version : a.module < b.module ? -1 : 1));
}

function summarise({ module, version, digest, provider, requests, errors, latency }: Gathered): ModuleTelemetry {
  return {
    module,
    version,
    digest,
    ...(provider === null ? {} : { provider }),
    requests,
    errors,
    latencyMs: {
      p50: quantile(latency, 0.5),
      p90: quantile(latency, 0.9),
      p99: quantile(latency, 0.99),
      max: latency.max,
      mean: latency.count === 0 ? null : latency.sum / latency.count,
    },
  };
}

async function countBatches(
  db: TelemetryStore,
  { workspace, device, fromMs }: TelemetryQuestion,
): Promise<{ batches: number; lastAt: number | null }> {
  const result = await sql<{ batches: number; lastAt: number | null }>`
    select count(*) as batches, max(receivedAt) as lastAt from (
      select bootId, sequence, receivedAt from moduleMetrics
        where workspace = ${workspace} and device = ${device} and receivedAt >= ${fromMs}
      union
      select bootId, sequence, receivedAt from systemMetrics
        where workspace = ${workspace} and device = ${device} and receivedAt >= ${fromMs})`.execute(db);
  return result.rows[0] ?? { batches: 0, lastAt: null };
}
