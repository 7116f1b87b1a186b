/** Questions to the telemetry database. Rows are read in pages, so a year asked for does not fill the memory. */
import { sql } from 'kysely';
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import { systemMetricsSchema } from '#shared/protocol/stream.js';
import { ModuleGathering, type ModuleRow } from './module-gathering.js';
import { floors } from './retention.js';
import { readCursor, type Resolution, startOf } from './roll-up.js';
import type { ModuleTelemetry, StreamGap, TelemetryAnswer, TelemetryQuestion } from './telemetry-port.js';

type Source = 'raw' | Resolution;

const pageSize = 5_000;
const maxGaps = 100;

export async function readTelemetry(db: TelemetryStore, question: TelemetryQuestion): Promise<TelemetryAnswer> {
  const { workspace, device, fromMs } = question;
  const source = await sourceOf(db, fromMs);
  const modules = await gatherModules(db, question, source);
  const system = await lastSystem(db, question, source);
  const { batches, lastAt } = await countBatches(db, question, source);
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
    system: system === undefined ? undefined : systemMetricsSchema.parse(JSON.parse(system)),
  };
}

/** Batches as they came where they are still there for all of the span, else the finest that is. */
async function sourceOf(db: TelemetryStore, fromMs: number): Promise<Source> {
  if (fromMs >= (await readCursor(db, floors.raw))) return 'raw';
  return fromMs >= (await readCursor(db, floors.minutes)) ? 60 : 3600;
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

async function gatherModules(
  db: TelemetryStore,
  question: TelemetryQuestion,
  source: Source,
): Promise<ModuleTelemetry[]> {
  const gathering = new ModuleGathering();
  if (source === 'raw') await eachBatchRow(db, question, (row) => gathering.add(row));
  else {
    const base = db
      .selectFrom('moduleRollups')
      .select(['module', 'version', 'digest', 'provider', 'requests', 'errorsJson', 'latencyJson', 'detailJson'])
      .where('workspace', '=', question.workspace)
      .where('device', '=', question.device)
      .where('resolution', '=', source)
      .where('startAt', '>=', startOf(question.fromMs, source));
    const rows = await (question.module === undefined ? base : base.where('module', '=', question.module)).execute();
    for (const row of rows) gathering.add({ ...row, provider: row.provider === '' ? null : row.provider });
  }
  return gathering.answer();
}

async function eachBatchRow(
  db: TelemetryStore,
  question: TelemetryQuestion,
  use: (row: ModuleRow) => void,
): Promise<void> {
  for (let after = 0; ; ) {
    const base = db
      .selectFrom('moduleMetrics')
      .select([sql<number>`rowid`.as('row'), 'module', 'version', 'digest', 'provider', 'requests'])
      .select(['errorsJson', 'latencyJson', 'detailJson'])
      .where('workspace', '=', question.workspace)
      .where('device', '=', question.device)
      .where('receivedAt', '>=', question.fromMs)
      .where(sql<number>`rowid`, '>', after)
      .orderBy(sql`rowid`)
      .limit(pageSize);
    const page = await (question.module === undefined ? base : base.where('module', '=', question.module)).execute();
    for (const row of page) use(row);
    const last = page.at(-1);
    if (page.length < pageSize || !last) return;
    after = last.row;
  }
}

async function lastSystem(
  db: TelemetryStore,
  { workspace, device, fromMs }: TelemetryQuestion,
  source: Source,
): Promise<string | undefined> {
  if (source !== 'raw') {
    const row = await db
      .selectFrom('systemRollups')
      .select('lastJson')
      .where('workspace', '=', workspace)
      .where('device', '=', device)
      .where('resolution', '=', source)
      .where('startAt', '>=', startOf(fromMs, source))
      .orderBy('startAt', 'desc')
      .limit(1)
      .executeTakeFirst();
    return row?.lastJson;
  }
  const row = await db
    .selectFrom('systemMetrics')
    .select('systemJson')
    .where('workspace', '=', workspace)
    .where('device', '=', device)
    .where('receivedAt', '>=', fromMs)
    .orderBy('receivedAt', 'desc')
    .orderBy(sql`rowid`, 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.systemJson;
}

async function countBatches(
  db: TelemetryStore,
  { workspace, device, fromMs }: TelemetryQuestion,
  source: Source,
): Promise<{ batches: number; lastAt: number | null }> {
  if (source !== 'raw') {
    // Each batch of an interval tells of the machine; only the last one of a host that was replaced does not.
    const counted = await sql<{ batches: number; lastAt: number | null }>`
      select coalesce(sum(readings), 0) as batches, max(startAt) as lastAt from systemRollups
        where workspace = ${workspace} and device = ${device} and resolution = ${source}
          and startAt >= ${startOf(fromMs, source)}`.execute(db);
    return counted.rows[0] ?? { batches: 0, lastAt: null };
  }
  const result = await sql<{ batches: number; lastAt: number | null }>`
    select count(*) as batches, max(receivedAt) as lastAt from (
      select bootId, sequence, receivedAt from moduleMetrics
        where workspace = ${workspace} and device = ${device} and receivedAt >= ${fromMs}
      union
      select bootId, sequence, receivedAt from systemMetrics
        where workspace = ${workspace} and device = ${device} and receivedAt >= ${fromMs})`.execute(db);
  return result.rows[0] ?? { batches: 0, lastAt: null };
}
