/**
 * Puts batches into the telemetry database, each once. The mark per (device, kind, boot) says up to
 * which sequence it is stored; marks and rows are one transaction, and acknowledgements follow it.
 */
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import type { StreamKind } from '#shared/protocol/stream.js';
import { type BatchHead, contentOf, judgeSequence, type ReadBatch, readBatch } from './batch-content.js';
import { type BatchRows, noRows, rowsOf, storeRows } from './batch-rows.js';
import type { CountedBatch } from './open-sums.js';
import type { RollUp } from './roll-up.js';
import { type Mark, streamKey, type StreamMarks } from './stream-marks.js';
import type { IngestOutcome, IngestResult, ReceivedBatch } from './telemetry-port.js';

type OpenMark = { -readonly [K in keyof Mark]: Mark[K] };

interface Taken {
  readonly rows: BatchRows;
  readonly counted: CountedBatch[];
  readonly events: IngestResult['events'][number][];
  readonly counts: Record<IngestOutcome, number>;
  readonly changed: Set<Mark>;
}

export async function writeBatches(
  db: TelemetryStore,
  batches: readonly ReceivedBatch[],
  known: StreamMarks,
  sums: Pick<RollUp, 'storeLate' | 'add'>,
): Promise<IngestResult> {
  const read = batches.map(readBatch);
  const { marks, taken, first, last } = await db.transaction().execute(async (transaction) => {
    const marks = await known.of(transaction, streamsOf(read));
    const taken = take(read, marks);
    const changed = [...taken.changed];
    const rowNumbers = await storeRows(transaction, taken.rows);
    await known.store(transaction, changed);
    await sums.storeLate(transaction, taken.counted);
    return { marks, taken, ...rowNumbers };
  });
  const all = [...marks.values()];
  known.learn(all);
  sums.add(taken.counted, first, last);
  // Every stream that said something is told where it stands: after a gap that asks for what is missing.
  const acks = all.map(({ workspace, device, kind, bootId, upTo }) => ({
    workspace,
    device,
    ack: { schema: 1 as const, kind: kind as StreamKind, bootId, upTo },
  }));
  const { events, counts } = taken;
  return { acks, events, counts };
}

function* streamsOf(read: readonly ReadBatch[]): Generator<Parameters<typeof streamKey>[0]> {
  for (const { received, head } of read) {
    if (head === undefined) continue;
    const { workspace, device, kind } = received;
    yield { workspace, device, kind, bootId: head.bootId };
  }
}

/** What is new of these batches. @param marks are replaced by what they are once this is stored */
function take(read: readonly ReadBatch[], marks: Map<string, Mark>): Taken {
  const counts = { stored: 0, duplicate: 0, gap: 0, malformed: 0, dropped: 0 };
  const open = new Map<string, OpenMark>();
  const taken: Taken = { rows: noRows(), counted: [], events: [], counts, changed: new Set() };
  for (const { received, head, json } of read) {
    if (head === undefined) {
      counts.malformed += 1;
      continue;
    }
    const { workspace, device, kind, receivedAt } = received;
    const stream = { workspace, device, kind, bootId: head.bootId };
    const key = streamKey(stream);
    const known = open.get(key) ?? marks.get(key) ?? { ...stream, upTo: 0, dropped: 0 };
    const judgement = judgeSequence(head, known.upTo);
    if (judgement !== 'store') {
      counts[judgement] += 1;
      continue;
    }
    const mark = open.get(key) ?? { ...known };
    open.set(key, mark);
    const content = contentOf(kind, json);
    if (content) {
      const counted = rowsOf(received, content, taken.rows);
      if (counted) taken.counted.push(counted);
    }
    // A batch that no schema fits will not fit when it comes again: it counts as dropped, and the stream goes on.
    const isLost = content === undefined || head.dropReason !== undefined;
    const lost = head.sequence - (mark.upTo + 1) + (isLost ? 1 : 0);
    if (lost > 0) taken.rows.gaps.push(gapOf(received, head, mark.upTo + 1, lost));
    counts[content === undefined ? 'malformed' : 'stored'] += 1;
    counts.dropped += lost;
    if (content?.kind === 'events') {
      taken.events.push(...content.batch.events.map((event) => ({ workspace, device, event, receivedAt })));
    }
    mark.upTo = head.sequence;
    mark.dropped += lost;
  }
  for (const [key, mark] of open) {
    marks.set(key, mark);
    taken.changed.add(mark);
  }
  return taken;
}

function gapOf(
  { workspace, device, kind, receivedAt }: ReceivedBatch,
  { bootId, dropReason }: BatchHead,
  fromSequence: number,
  count: number,
): BatchRows['gaps'][number] {
  const upToSequence = fromSequence + count - 1;
  return [workspace, device, kind, bootId, fromSequence, upToSequence, dropReason ?? null, receivedAt];
}
