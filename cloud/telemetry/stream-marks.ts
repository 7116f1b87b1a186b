/** Up to which batch each stream is stored: of streams that said something lately known without a question. */
import { type Kysely, sql } from 'kysely';
import { insertRows } from '#cloud/store/insert-rows.js';
import type { StreamMarkTable, TelemetryDatabase } from '#cloud/store/telemetry-tables.js';

export type Mark = Readonly<StreamMarkTable>;
export type Stream = Pick<Mark, 'workspace' | 'device' | 'kind' | 'bootId'>;

/** A device has two, and others from before its boots. */
const mostKnown = 200_000;
/** Of few sizes, so that it is mostly the same statement. */
const marksPerQuestion = 500;

export const streamKey = ({ workspace, device, kind, bootId }: Stream): string =>
  `${workspace}/${device}/${kind}/${String(bootId)}`;

const intoMarks = {
  table: 'streamMarks',
  columns: ['workspace', 'device', 'kind', 'bootId', 'upTo', 'dropped'],
  ending: `on conflict (workspace, device, kind, bootId) do update
    set upTo = excluded.upTo, dropped = excluded.dropped`,
};

export class StreamMarks {
  private readonly known = new Map<string, Mark>();

  /** Puts those of these streams to the others, by {@link streamKey}; of one that never said anything, one that says so. */
  async load(
    transaction: Kysely<TelemetryDatabase>,
    streams: Iterable<Stream>,
    marks: Map<string, Mark>,
  ): Promise<void> {
    const asked: Stream[] = [];
    for (const { workspace, device, kind, bootId } of streams) {
      const stream = { workspace, device, kind, bootId };
      const key = streamKey(stream);
      if (marks.has(key)) continue;
      const known = this.known.get(key);
      if (!known) asked.push(stream);
      marks.set(key, known ?? { ...stream, upTo: 0, dropped: 0 });
    }
    for (let at = 0; at < asked.length; at += marksPerQuestion) {
      for (const mark of await storedOf(transaction, asked.slice(at, at + marksPerQuestion))) {
        marks.set(streamKey(mark), mark);
      }
    }
  }

  async store(transaction: Kysely<TelemetryDatabase>, marks: readonly Mark[]): Promise<void> {
    await insertRows(
      transaction,
      intoMarks,
      marks.map(({ workspace, device, kind, bootId, upTo, dropped }) => [
        workspace,
        device,
        kind,
        bootId,
        upTo,
        dropped,
      ]),
    );
  }

  /** Once they are stored. */
  learn(marks: readonly Mark[]): void {
    if (this.known.size + marks.length > mostKnown) this.known.clear();
    for (const mark of marks) this.known.set(streamKey(mark), mark);
  }

  /** Somebody else changed them. */
  forget(): void {
    this.known.clear();
  }
}

function storedOf(transaction: Kysely<TelemetryDatabase>, streams: readonly Stream[]): Promise<Mark[]> {
  const tuples = streams.map(
    ({ workspace, device, kind, bootId }) => sql`(${workspace}, ${device}, ${kind}, ${bootId})`,
  );
  return transaction
    .selectFrom('streamMarks')
    .selectAll()
    .where(sql<boolean>`(workspace, device, kind, bootId) in (values ${sql.join(tuples)})`)
    .execute();
}
