/**
 * Puts batches into the telemetry database, each once. The mark per (device, kind, boot) says up to
 * which sequence it is stored; marks and rows are one transaction, and acknowledgements follow it.
 */
import * as z from 'zod';
import type { Insertable } from 'kysely';
import type {
  DeviceEventTable,
  ModuleMetricTable,
  StreamGapTable,
  StreamMarkTable,
  SystemMetricTable,
} from '#cloud/store/telemetry-tables.js';
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import { decodeJson, decodeMessage } from '#shared/protocol/decode.js';
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

export async function writeBatches(db: TelemetryStore, batches: readonly ReceivedBatch[]): Promise<IngestResult> {
  return db.transaction().execute(async (transaction) => {
    const marks = new Map<string, Mark>();
    const changed = new Set<Mark>();
    const rows: Rows = { modules: [], systems: [], events: [], gaps: [] };
    const events: IngestResult['events'][number][] = [];
    const counts: Record<IngestOutcome, number> = { stored: 0, duplicate: 0, gap: 0, malformed: 0, dropped: 0 };

    for (const received of batches) {
      const head = readHead(received);
      if (head === undefined) {
        counts.malformed += 1;
        continue;
      }
      const mark = await markOf(transaction, marks, received, head.bootId);
      const judgement = judgeSequence(head, mark.upTo);
      if (judgement !== 'store') {
        counts[judgement] += 1;
        continue;
      }
      const taken = collect(received, rows);
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

function readHead(received: ReceivedBatch): Head | undefined {
  const json = decodeJson(received.payload);
  const head = json.ok ? headSchema.safeParse(json.value) : undefined;
  return head?.success ? head.data : undefined;
}

async function markOf(
  transaction: TelemetryStore,
  marks: Map<string, Mark>,
  { workspace, device, kind }: ReceivedBatch,
  bootId: number,
): Promise<Mark> {
  const key = `${workspace}/${device}/${kind}/${String(bootId)}`;
  const known = marks.get(key);
  if (known) return known;
  const stored = await transaction
    .selectFrom('streamMarks')
    .selectAll()
    .where('workspace', '=', workspace)
    .where('device', '=', device)
    .where('kind', '=', kind)
    .where('bootId', '=', bootId)
    .executeTakeFirst();
  const mark = stored ?? { workspace, device, kind, bootId, upTo: 0, dropped: 0 };
  marks.set(key, mark);
  return mark;
}

/** Adds the rows of a batch; undefined when it is malformed. */
function collect(
  received: ReceivedBatch,
  rows: Rows,
): { kind: 'telemetry'; batch: TelemetryBatch } | { kind: 'events'; batch: EventBatch } | undefined {
  switch (received.kind) {
    case 'telemetry': {
      const decoded = decodeMessage(telemetryBatchSchema, received.payload);
      if (!decoded.ok) return undefined;
      collectTelemetry(received, decoded.value, rows);
      return { kind: 'telemetry', batch: decoded.value };
    }
    case 'events': {
      const decoded = decodeMessage(eventBatchSchema, received.payload);
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
