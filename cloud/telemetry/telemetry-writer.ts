/**
 * Puts batches into the telemetry database, each once. The mark per (device, kind, boot) says up to
 * which sequence it is stored; marks and rows are one transaction, and acknowledgements follow it.
 */
import * as z from 'zod';
import { type Insertable, sql } from 'kysely';
import type {
  DeviceEventTable,
  ModuleMetricTable,
  StreamGapTable,
  StreamMarkTable,
  SystemMetricTable,
} from '#cloud/store/telemetry-tables.js';
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import { checkMessage, decodeJson } from '#shared/protocol/decode.js';
import { counterSchema } from '#shared/protocol/primitives.js';
import {
  dropReasonSchema,
  type EventBatch,
  eventBatchSchema,
  judgeSequence,
  type TelemetryBatch,
  telemetryBatchSchema,
} from '#shared/protocol/stream.js';
import { detailJsonOf } from './module-detail.js';
import type { IngestOutcome, IngestResult, ReceivedBatch } from './telemetry-port.js';

/** The least that must be readable to know what a batch is. */
const headSchema = z.object({
  bootId: counterSchema,
  sequence: counterSchema.min(1),
  droppedFrom: counterSchema.min(1).optional(),
  dropReason: dropReasonSchema.optional().catch(undefined),
});
type Head = z.infer<typeof headSchema>;

interface Rows {
  readonly modules: Insertable<ModuleMetricTable>[];
  readonly systems: Insertable<SystemMetricTable>[];
  readonly events: Insertable<DeviceEventTable>[];
  readonly gaps: Insertable<StreamGapTable>[];
}

type Mark = { -readonly [K in keyof StreamMarkTable]: StreamMarkTable[K] };

/** SQLite takes 32,766 parameters in one statement. */
const rowsPerInsert = 1_000;
/** Of few sizes, so that it is mostly the same statement. */
const marksPerQuestion = 500;

export async function writeBatches(db: TelemetryStore, batches: readonly ReceivedBatch[]): Promise<IngestResult> {
  return db.transaction().execute(async (transaction) => {
    const marks = new Map<string, Mark>();
    const changed = new Set<Mark>();
    const rows: Rows = { modules: [], systems: [], events: [], gaps: [] };
    const events: IngestResult['events'][number][] = [];
    const counts: Record<IngestOutcome, number> = { stored: 0, duplicate: 0, gap: 0, malformed: 0, dropped: 0 };

    const read = batches.map(readBatch);
    await loadMarks(transaction, marks, read);
    for (const { received, head, json } of read) {
      if (head === undefined) {
        counts.malformed += 1;
        continue;
      }
      const mark = markOf(marks, received, head.bootId);
      const judgement = judgeSequence(head, mark.upTo);
      if (judgement !== 'store') {
        counts[judgement] += 1;
        continue;
      }
      const taken = collect(received, json, rows);
      // A batch that no schema fits will not fit when it comes again: it counts as dropped, and the stream goes on.
      const isLost = taken === undefined || head.dropReason !== undefined;
      const lost = head.sequence - (mark.upTo + 1) + (isLost ? 1 : 0);
      if (lost > 0) rows.gaps.push(gapOf(received, head, mark.upTo + 1, lost));
      counts[taken === undefined ? 'malformed' : 'stored'] += 1;
      counts.dropped += lost;
      if (taken?.kind === 'events') {
        const { workspace, device, receivedAt } = received;
        events.push(...taken.batch.events.map((event) => ({ workspace, device, event, receivedAt })));
      }
      mark.upTo = head.sequence;
      mark.dropped += lost;
      changed.add(mark);
    }

    await insertAll(rows.modules, (part) => transaction.insertInto('moduleMetrics').values(part).execute());
    await insertAll(rows.systems, (part) => transaction.insertInto('systemMetrics').values(part).execute());
    await insertAll(rows.events, (part) => transaction.insertInto('deviceEvents').values(part).execute());
    await insertAll(rows.gaps, (part) => transaction.insertInto('streamGaps').values(part).execute());
    await insertAll([...changed], (part) =>
      transaction
        .insertInto('streamMarks')
        .values(part)
        .onConflict((conflict) =>
          conflict.columns(['workspace', 'device', 'kind', 'bootId']).doUpdateSet((row) => ({
            upTo: row.ref('excluded.upTo'),
            dropped: row.ref('excluded.dropped'),
          })),
        )
        .execute(),
    );
    // Every stream that said something is told where it stands: after a gap that asks for what is missing.
    const acks = [...marks.values()].map(({ workspace, device, kind, bootId, upTo }) => ({
      workspace,
      device,
      ack: { schema: 1 as const, kind: kind === 'events' ? ('events' as const) : ('telemetry' as const), bootId, upTo },
    }));
    return { acks, events, counts };
  });
}

function gapOf(
  { workspace, device, kind, receivedAt }: ReceivedBatch,
  { bootId, dropReason }: Head,
  fromSequence: number,
  count: number,
): Insertable<StreamGapTable> {
  const upToSequence = fromSequence + count - 1;
  return { workspace, device, kind, bootId, fromSequence, upToSequence, reason: dropReason ?? null, receivedAt };
}

interface ReadBatch {
  readonly received: ReceivedBatch;
  /** Undefined: it cannot be told what it is. */
  readonly head: Head | undefined;
  readonly json: unknown;
}

function readBatch(received: ReceivedBatch): ReadBatch {
  const json = decodeJson(received.payload);
  if (!json.ok) return { received, head: undefined, json: undefined };
  const head = headSchema.safeParse(json.value);
  return { received, head: head.success ? head.data : undefined, json: json.value };
}

type MarkKey = Pick<Mark, 'workspace' | 'device' | 'kind' | 'bootId'>;

const keyOf = ({ workspace, device, kind, bootId }: MarkKey): string =>
  `${workspace}/${device}/${kind}/${String(bootId)}`;

/** Those that are stored, by few questions: one for each device would cost more than all the rest. */
async function loadMarks(
  transaction: TelemetryStore,
  marks: Map<string, Mark>,
  batches: readonly ReadBatch[],
): Promise<void> {
  const asked = new Map<string, MarkKey>();
  for (const { received, head } of batches) {
    if (head === undefined) continue;
    const { workspace, device, kind } = received;
    const key = { workspace, device, kind, bootId: head.bootId };
    asked.set(keyOf(key), key);
  }
  const keys = [...asked.values()];
  for (let at = 0; at < keys.length; at += marksPerQuestion) {
    const part = keys.slice(at, at + marksPerQuestion);
    const tuples = part.map(
      ({ workspace, device, kind, bootId }) => sql`(${workspace}, ${device}, ${kind}, ${bootId})`,
    );
    const stored = await transaction
      .selectFrom('streamMarks')
      .selectAll()
      .where(sql<boolean>`(workspace, device, kind, bootId) in (values ${sql.join(tuples)})`)
      .execute();
    for (const mark of stored) marks.set(keyOf(mark), mark);
  }
}

function markOf(marks: Map<string, Mark>, { workspace, device, kind }: ReceivedBatch, bootId: number): Mark {
  const key = { workspace, device, kind, bootId };
  const mark = marks.get(keyOf(key)) ?? { ...key, upTo: 0, dropped: 0 };
  marks.set(keyOf(key), mark);
  return mark;
}

/** Adds the rows of a batch; undefined when it is malformed. */
function collect(
  received: ReceivedBatch,
  json: unknown,
  rows: Rows,
): { kind: 'telemetry'; batch: TelemetryBatch } | { kind: 'events'; batch: EventBatch } | undefined {
  switch (received.kind) {
    case 'telemetry': {
      const decoded = checkMessage(telemetryBatchSchema, json);
      if (!decoded.ok) return undefined;
      collectTelemetry(received, decoded.value, rows);
      return { kind: 'telemetry', batch: decoded.value };
    }
    case 'events': {
      const decoded = checkMessage(eventBatchSchema, json);
      if (!decoded.ok) return undefined;
      collectEvents(received, decoded.value, rows);
      return { kind: 'events', batch: decoded.value };
    }
  }
}

function collectTelemetry({ workspace, device, receivedAt }: ReceivedBatch, batch: TelemetryBatch, rows: Rows): void {
  const head = { workspace, device, receivedAt, at: batch.at, bootId: batch.bootId, sequence: batch.sequence };
  for (const [module, metrics] of Object.entries(batch.modules)) {
    rows.modules.push({
      ...head,
      module,
      version: metrics.version,
      digest: metrics.digest,
      provider: metrics.provider ?? null,
      requests: metrics.requests,
      errorsJson: JSON.stringify(metrics.errors),
      latencyJson: JSON.stringify(metrics.latencyMs),
      detailJson: detailJsonOf(metrics),
    });
  }
  if (batch.system) rows.systems.push({ ...head, systemJson: JSON.stringify(batch.system) });
}

function collectEvents({ workspace, device, receivedAt }: ReceivedBatch, batch: EventBatch, rows: Rows): void {
  for (const [position, event] of batch.events.entries()) {
    rows.events.push({
      workspace,
      device,
      receivedAt,
      at: event.at,
      bootId: batch.bootId,
      sequence: batch.sequence,
      position,
      level: event.level,
      type: event.type,
      module: event.module ?? null,
      message: event.message,
      detailsJson: event.details ? JSON.stringify(event.details) : null,
    });
  }
}

async function insertAll<T>(rows: readonly T[], insert: (part: readonly T[]) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < rows.length; at += rowsPerInsert) await insert(rows.slice(at, at + rowsPerInsert));
}
