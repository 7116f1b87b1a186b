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
}

/** What is said of batches once they are stored. */
interface Said {
  readonly events: IngestResult['events'][number][];
  readonly counts: Record<IngestOutcome, number>;
}

/** Few enough that what they were read into does not outlive the garbage collector's first round: it costs a fifth else. */
const batchesAtOnce = 200;

export async function writeBatches(
  db: TelemetryStore,
  batches: readonly ReceivedBatch[],
  known: StreamMarks,
  sums: Pick<RollUp, 'storeLate' | 'add' | 'committed' | 'spoil'>,
): Promise<IngestResult> {
  const marks = new Map<string, Mark>();
  const counts = { stored: 0, duplicate: 0, gap: 0, malformed: 0, dropped: 0 };
  const said: Said = { events: [], counts };
  try {
    await db.transaction().execute(async (transaction) => {
      const changed = new Map<string, OpenMark>();
      for (let at = 0; at < batches.length; at += batchesAtOnce) {
        const read = batches.slice(at, at + batchesAtOnce).map(readBatch);
        await known.load(transaction, streamsOf(read), marks);
        const { rows, counted } = take(read, marks, changed, said);
        const { first, last } = await storeRows(transaction, rows);
        await sums.storeLate(transaction, counted);
        sums.add(counted, first, last);
      }
      await known.store(transaction, [...changed.values()]);
    });
  } catch (error) {
    sums.spoil();
    throw error;
  }
  sums.committed();
  const all = [...marks.values()];
  known.learn(all);
  // Every stream that said something is told where it stands: after a gap that asks for what is missing.
  const acks = all.map(({ workspace, device, kind, bootId, upTo }) => ({
    workspace,
    device,
    ack: { schema: 1 as const, kind: kind as StreamKind, bootId, upTo },
  }));
  return { acks, ...said };
}

function* streamsOf(read: readonly ReadBatch[]): Generator<Parameters<typeof streamKey>[0]> {
  for (const { received, head } of read) {
    if (head === undefined) continue;
    const { workspace, device, kind } = received;
    yield { workspace, device, kind, bootId: head.bootId };
  }
}

/**
 * What is new of these batches.
 *
 * @param marks are replaced by what they are once this is stored
 * @param changed those that were replaced
 */
function take(
  read: readonly ReadBatch[],
  marks: Map<string, Mark>,
  changed: Map<string, OpenMark>,
  { events, counts }: Said,
): Taken {
  const taken: Taken = { rows: noRows(), counted: [] };
  for (const { received, head, json } of read) {
    if (head === undefined) {
      counts.malformed += 1;
      continue;
    }
    const { workspace, device, kind, receivedAt } = received;
    const stream = { workspace, device, kind, bootId: head.bootId };
    const key = streamKey(stream);
    const known = marks.get(key) ?? { ...stream, upTo: 0, dropped: 0 };
    const judgement = judgeSequence(head, known.upTo);
    if (judgement !== 'store') {
      counts[judgement] += 1;
      continue;
    }
    const mark = changed.get(key) ?? { ...known };
    changed.set(key, mark);
    marks.set(key, mark);
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
      events.push(...content.batch.events.map((event) => ({ workspace, device, event, receivedAt })));
    }
    mark.upTo = head.sequence;
    mark.dropped += lost;
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
