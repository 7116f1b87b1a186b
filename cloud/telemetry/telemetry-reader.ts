/** Questions to the telemetry database. Rows are read in pages, so a year asked for does not fill the memory. */
import { sql } from 'kysely';
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import { systemMetricsSchema } from '#shared/protocol/stream.js';
import { ModuleGathering, type ModuleRow } from './module-gathering.js';
import { floors } from './retention.js';
import { readCursor, readSummed, type Resolution, startOf } from './summed.js';
import type { ModuleTelemetry, StreamGap, TelemetryAnswer, TelemetryQuestion } from './telemetry-port.js';

/** A span of batches as they came, or of what they are summed up to. */
interface Source {
  readonly resolution: 0 | Resolution;
  readonly fromMs: number;
  /** Exclusive. */
  readonly toMs: number;
}

const pageSize = 5_000;
const maxGaps = 100;

export async function readTelemetry(db: TelemetryStore, question: TelemetryQuestion): Promise<TelemetryAnswer> {
  const { workspace, device, fromMs } = question;
  const sources = await sourcesOf(db, fromMs);
  const modules = await gatherModules(db, question, sources);
  const system = await lastSystem(db, question, sources);
  const { batches, lastAt } = await countBatches(db, question, sources);
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

/** Batches as they came where they are still there for all of the span, else the finest that is; later ones on top. */
async function sourcesOf(db: TelemetryStore, fromMs: number): Promise<Source[]> {
  const batches = { resolution: 0 as const, toMs: Number.MAX_SAFE_INTEGER };
  if (fromMs >= (await readCursor(db, floors.raw))) return [{ ...batches, fromMs }];
  const { minutesTo, hoursTo } = await readSummed(db);
  const newest = { ...batches, fromMs: Math.max(fromMs, minutesTo) };
  if (fromMs >= (await readCursor(db, floors.minutes))) {
    return [{ resolution: 60, fromMs: startOf(fromMs, 60), toMs: minutesTo }, newest];
  }
  return [
    { resolution: 3600, fromMs: startOf(fromMs, 3600), toMs: hoursTo },
    { resolution: 60, fromMs: Math.max(startOf(fromMs, 60), hoursTo), toMs: minutesTo },
    newest,
  ];
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
  sources: readonly Source[],
): Promise<ModuleTelemetry[]> {
  const gathering = new ModuleGathering();
  for (const source of sources) {
    if (source.resolution === 0) {
      await eachBatchRow(db, { ...question, fromMs: source.fromMs }, (row) => gathering.add(row));
      continue;
    }
    const base = db
      .selectFrom('moduleRollups')
      .select(['module', 'version', 'digest', 'provider', 'requests', 'errorsJson', 'latencyJson', 'detailJson'])
      .where('workspace', '=', question.workspace)
      .where('device', '=', question.device)
      .where('resolution', '=', source.resolution)
      .where('startAt', '>=', source.fromMs)
      .where('startAt', '<', source.toMs);
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

/** The newest is where it was told last. */
async function lastSystem(
  db: TelemetryStore,
  { workspace, device }: TelemetryQuestion,
  sources: readonly Source[],
): Promise<string | undefined> {
  for (const { resolution, fromMs, toMs } of [...sources].reverse()) {
    const row =
      resolution === 0
        ? await db
            .selectFrom('systemMetrics')
            .select('systemJson as json')
            .where('workspace', '=', workspace)
            .where('device', '=', device)
            .where('receivedAt', '>=', fromMs)
            .orderBy('receivedAt', 'desc')
            .orderBy(sql`rowid`, 'desc')
            .limit(1)
            .executeTakeFirst()
        : await db
            .selectFrom('systemRollups')
            .select('lastJson as json')
            .where('workspace', '=', workspace)
            .where('device', '=', device)
            .where('resolution', '=', resolution)
            .where('startAt', '>=', fromMs)
            .where('startAt', '<', toMs)
            .orderBy('startAt', 'desc')
            .limit(1)
            .executeTakeFirst();
    if (row) return row.json;
  }
  return undefined;
}

interface Counted {
  readonly batches: number;
  readonly lastAt: number | null;
}

async function countBatches(
  db: TelemetryStore,
  { workspace, device }: TelemetryQuestion,
  sources: readonly Source[],
): Promise<Counted> {
  let [batches, lastAt]: [number, number | null] = [0, null];
  for (const { resolution, fromMs, toMs } of sources) {
    const query =
      resolution === 0
        ? sql<Counted>`select count(*) as batches, max(receivedAt) as lastAt from (
            select bootId, sequence, receivedAt from moduleMetrics
              where workspace = ${workspace} and device = ${device} and receivedAt >= ${fromMs}
            union
            select bootId, sequence, receivedAt from systemMetrics
              where workspace = ${workspace} and device = ${device} and receivedAt >= ${fromMs})`
        : // Each batch of an interval tells of the machine; only the last one of a host that was replaced does not.
          sql<Counted>`select coalesce(sum(readings), 0) as batches, max(startAt) as lastAt from systemRollups
            where workspace = ${workspace} and device = ${device} and resolution = ${resolution}
              and startAt >= ${fromMs} and startAt < ${toMs}`;
    const [row] = (await query.execute(db)).rows;
    batches += row?.batches ?? 0;
    lastAt = row?.lastAt ?? lastAt;
  }
  return { batches, lastAt };
}
