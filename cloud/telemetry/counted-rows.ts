/** Rows of batches as they were stored, for whoever adds them up. */
import { type Kysely, sql } from 'kysely';
import type { TelemetryDatabase } from '#cloud/store/telemetry-tables.js';
import type { SystemMetrics } from '#shared/protocol/stream.js';
import { countsOf } from './module-sum.js';
import type { CountedBatch } from './open-sums.js';
import { rowPages } from './row-pages.js';
import { readCursor } from './summed.js';
import { gaugesOf } from './system-gauges.js';

type Database = Kysely<TelemetryDatabase>;

/** Cursors: rows up to these were all received before minutes end. */
export const tables = { modules: 'moduleMetrics', systems: 'systemMetrics' } as const;

const rowsAtOnce = 2_000;

interface Page {
  readonly batches: readonly CountedBatch[];
  readonly firstRow: number;
}

/** What was received from then on: a part of a batch each, in the order in which they came. */
export async function* moduleRowsFrom(db: Database, fromMs: number): AsyncGenerator<Page> {
  const pages = rowPages(await readCursor(db, tables.modules), rowsAtOnce, (after) =>
    db
      .selectFrom('moduleMetrics')
      .select([sql<number>`rowid`.as('row'), 'workspace', 'device', 'receivedAt', 'module', 'version', 'digest'])
      .select(['provider', 'requests', 'errorsJson', 'latencyJson', 'detailJson'])
      .where(sql<number>`rowid`, '>', after)
      .where('receivedAt', '>=', fromMs)
      .orderBy(sql`rowid`)
      .limit(rowsAtOnce)
      .execute(),
  );
  for await (const rows of pages) {
    const batches = rows.map(({ workspace, device, receivedAt, module, version, digest, provider, ...counts }) => ({
      ...{ workspace, device, receivedAt },
      modules: [{ module, version, digest, provider: provider ?? '', ...countsOf(counts) }],
    }));
    yield { batches, firstRow: rows[0]?.row ?? 0 };
  }
}

export async function* systemRowsFrom(db: Database, fromMs: number): AsyncGenerator<Page> {
  const pages = rowPages(await readCursor(db, tables.systems), rowsAtOnce, (after) =>
    db
      .selectFrom('systemMetrics')
      .select([sql<number>`rowid`.as('row'), 'workspace', 'device', 'receivedAt', 'systemJson'])
      .where(sql<number>`rowid`, '>', after)
      .where('receivedAt', '>=', fromMs)
      .orderBy(sql`rowid`)
      .limit(rowsAtOnce)
      .execute(),
  );
  for await (const rows of pages) {
    const batches = rows.map(({ workspace, device, receivedAt, systemJson: json }) => ({
      ...{ workspace, device, receivedAt, modules: [] },
      system: { json, gauges: gaugesOf(JSON.parse(json) as SystemMetrics) },
    }));
    yield { batches, firstRow: rows[0]?.row ?? 0 };
  }
}
