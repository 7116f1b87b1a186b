/** What versions of a module did on the devices of a cohort, each over a span of its own: few rows a device. */
import { sql } from 'kysely';
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import type { SystemMetrics } from '#shared/protocol/stream.js';
import { addSpan, type ModuleNumbers, noNumbers } from './cohort-numbers.js';
import type { CohortDevice, CohortQuestion } from './telemetry-port.js';
import type { ModuleSpan } from './measure.js';
import { readSummed } from './summed.js';
import { type SpanPart, wholeSpans } from './whole-spans.js';

/** Of one device; the newest. */
const maxReadings = 1000;

export async function readCohort(db: TelemetryStore, question: CohortQuestion): Promise<ModuleNumbers> {
  const numbers = noNumbers();
  const summed = await readSummed(db);
  for (const one of question.devices) {
    if (one.digests.length === 0) continue;
    const before = numbers.requests;
    for (const part of wholeSpans(one.fromMs, one.toMs, summed)) {
      for (const row of await rowsOf(db, question, one, part)) addSpan(numbers, row);
    }
    if (question.machine) await addReadings(db, question, one, numbers);
    if (numbers.requests > before) numbers.devices += 1;
  }
  return numbers;
}

function rowsOf(
  db: TelemetryStore,
  { workspace, module }: CohortQuestion,
  { device, digests }: CohortDevice,
  { resolution, fromMs, toMs }: SpanPart,
): Promise<ModuleSpan[]> {
  const until = Number.isFinite(toMs) ? toMs : Number.MAX_SAFE_INTEGER;
  if (resolution === 0) {
    return db
      .selectFrom('moduleMetrics')
      .select(['requests', 'errorsJson', 'latencyJson', 'detailJson'])
      .where((where) => where.and({ workspace, device, module }))
      .where('receivedAt', '>=', fromMs)
      .where('receivedAt', '<', until)
      .where('digest', 'in', [...digests])
      .execute();
  }
  return db
    .selectFrom('moduleRollups')
    .select(['requests', 'errorsJson', 'latencyJson', 'detailJson'])
    .where((where) => where.and({ workspace, device, resolution, module }))
    .where('startAt', '>=', fromMs)
    .where('startAt', '<', until)
    .where('digest', 'in', [...digests])
    .execute();
}

/** A reading has no version: it counts where the batch that told it tells of these, and of no other of the module. */
async function addReadings(
  db: TelemetryStore,
  { workspace, module }: CohortQuestion,
  { device, digests, settled }: CohortDevice,
  numbers: ModuleNumbers,
): Promise<void> {
  if (settled === undefined) return;
  const rows = await db
    .selectFrom('systemMetrics as s')
    .innerJoin('moduleMetrics as m', (join) =>
      join
        .onRef('m.workspace', '=', 's.workspace')
        .onRef('m.device', '=', 's.device')
        .onRef('m.receivedAt', '=', 's.receivedAt')
        .onRef('m.bootId', '=', 's.bootId')
        .onRef('m.sequence', '=', 's.sequence'),
    )
    .select('s.systemJson')
    .where('s.workspace', '=', workspace)
    .where('s.device', '=', device)
    .where('s.receivedAt', '>=', settled.fromMs)
    .where('s.receivedAt', '<', settled.toMs ?? Number.MAX_SAFE_INTEGER)
    .where('m.module', '=', module)
    .where('m.digest', 'in', [...digests])
    .orderBy('s.receivedAt', 'desc')
    .orderBy(sql`s.rowid`, 'desc')
    .limit(maxReadings)
    .execute();
  for (const { systemJson } of rows) {
    numbers.memory.count += 1;
    numbers.memory.sum += (JSON.parse(systemJson) as SystemMetrics).hostsRssBytes;
  }
}
