/**
 * What is forgotten, and when: batches as they came after hours, minutes after days, hours and events at the end; and
 * the oldest of the finest first where the file has grown too large. A step removes a bounded number of rows.
 */
import { type Kysely, sql } from 'kysely';
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import type { TelemetryDatabase } from '#cloud/store/telemetry-tables.js';
import { readCursor, startOf, writeCursor } from './summed.js';

export interface Retention {
  /** Batches as they came, received before; epoch milliseconds, like the others. */
  readonly rawBeforeMs: number;
  readonly minutesBeforeMs: number;
  readonly beforeMs: number;
  /** Of the database file, without what is free in it. */
  readonly maxBytes: number;
}

export interface Thinned {
  readonly removed: number;
  /** Whether another step would remove more. */
  readonly more: boolean;
}

/** Since when what is finer than an hour is whole: what is asked of before is answered by hours. */
export const floors = { raw: 'rawFloor', minutes: 'minutesFloor' } as const;

const rawTables = ['moduleMetrics', 'systemMetrics'] as const;
const rollupTables = ['moduleRollups', 'systemRollups'] as const;
const rowsPerStep = 10_000;

/** Sums up what came before, and its hours, whether they are over or not: what is not summed up is not forgotten. */
export type Settle = (to: { readonly minutes: number; readonly hours: number }) => Promise<void>;

export async function thinStep(db: TelemetryStore, retention: Retention, settle: Settle): Promise<Thinned> {
  const { rawBeforeMs, minutesBeforeMs, beforeMs } = retention;
  await settle({ minutes: Math.max(rawBeforeMs, beforeMs), hours: Math.max(minutesBeforeMs, beforeMs) });
  let removed = 0;
  for (const table of rawTables) {
    removed += await removeRaw(db, table, Math.max(rawBeforeMs, beforeMs), rawBeforeMs > beforeMs);
  }
  for (const table of rollupTables) {
    removed += await removeRollups(db, table, 60, Math.max(minutesBeforeMs, beforeMs), minutesBeforeMs > beforeMs);
    removed += await removeRollups(db, table, 3600, beforeMs, false);
  }
  removed += await removeEvents(db, beforeMs);
  if (removed === 0 && (await usedBytes(db)) > retention.maxBytes) removed = await removeOldest(db, settle);
  return { removed, more: removed > 0 };
}

/** All that was received before, of every kind. */
export async function pruneStep(db: TelemetryStore, beforeMs: number, settle: Settle): Promise<Thinned> {
  return thinStep(db, { rawBeforeMs: beforeMs, minutesBeforeMs: beforeMs, beforeMs, maxBytes: Infinity }, settle);
}

async function usedBytes(db: TelemetryStore): Promise<number> {
  const pragma = async (name: string): Promise<number> => {
    const { rows } = await sql.raw<Record<string, number>>(`pragma ${name}`).execute(db);
    return Object.values(rows[0] ?? {})[0] ?? 0;
  };
  return ((await pragma('page_count')) - (await pragma('freelist_count'))) * (await pragma('page_size'));
}

/** For want of room: the finest first, of that the oldest. */
async function removeOldest(db: TelemetryStore, settle: Settle): Promise<number> {
  for (const table of rawTables) {
    const until = await boundOf(db, table, sql`1`, sql`receivedAt`, sql`rowid`);
    if (until === undefined) continue;
    await settle({ minutes: until + 1, hours: 0 });
    return removeRaw(db, table, until + 1, true);
  }
  for (const resolution of [60, 3600]) {
    for (const table of rollupTables) {
      const until = await boundOf(db, table, sql`resolution = ${resolution}`, sql`startAt`, sql`startAt`);
      if (until === undefined) continue;
      const end = until + resolution * 1000;
      if (resolution === 60) await settle({ minutes: 0, hours: end });
      return removeRollups(db, table, resolution, end, resolution === 60);
    }
  }
  const until = await boundOf(db, 'deviceEvents', sql`1`, sql`receivedAt`, sql`rowid`);
  return until === undefined ? 0 : removeEvents(db, until + 1);
}

/** The latest instant among the oldest rows that one step removes. */
async function boundOf(
  db: TelemetryStore,
  table: string,
  where: ReturnType<typeof sql>,
  column: ReturnType<typeof sql>,
  order: ReturnType<typeof sql>,
): Promise<number | undefined> {
  const found = await sql<{ until: number | null }>`select max(at) as until from (
    select ${column} as at from ${sql.table(table)} where ${where} order by ${order} limit ${rowsPerStep})`.execute(db);
  return found.rows[0]?.until ?? undefined;
}

/** @param coarserIsKept what is asked of before is then answered by minutes and hours */
async function removeRaw(
  db: TelemetryStore,
  table: (typeof rawTables)[number],
  beforeMs: number,
  coarserIsKept: boolean,
): Promise<number> {
  return db.transaction().execute(async (transaction) => {
    const removed = await removeRows(transaction, table, sql`receivedAt < ${beforeMs}`);
    if (removed === 0) return 0;
    await followRemoval(transaction, table);
    if (coarserIsKept) await raise(transaction, floors.raw, beforeMs);
    return removed;
  });
}

/** Row numbers may be given anew once the last is gone: the sums go on from what is left. */
export async function followRemoval(db: Kysely<TelemetryDatabase>, table: (typeof rawTables)[number]): Promise<void> {
  const last = await sql<{ last: number | null }>`select max(rowid) as last from ${sql.table(table)}`.execute(db);
  const cursor = await readCursor(db, table);
  await writeCursor(db, table, Math.min(cursor, last.rows[0]?.last ?? 0));
}

async function removeRollups(
  db: TelemetryStore,
  table: (typeof rollupTables)[number],
  resolution: number,
  beforeMs: number,
  coarserIsKept: boolean,
): Promise<number> {
  // One that ends later stays whole.
  const until = startOf(beforeMs, resolution);
  return db.transaction().execute(async (transaction) => {
    const removed = await removeRows(transaction, table, sql`resolution = ${resolution} and startAt < ${until}`);
    if (removed > 0 && coarserIsKept) await raise(transaction, floors.minutes, beforeMs);
    return removed;
  });
}

function removeEvents(db: TelemetryStore, beforeMs: number): Promise<number> {
  return removeRows(db, 'deviceEvents', sql`receivedAt < ${beforeMs}`);
}

async function removeRows(
  db: Kysely<TelemetryDatabase>,
  table: string,
  where: ReturnType<typeof sql>,
): Promise<number> {
  const result = await sql`delete from ${sql.table(table)} where rowid in (
    select rowid from ${sql.table(table)} where ${where} limit ${rowsPerStep})`.execute(db);
  return Number(result.numAffectedRows ?? 0n);
}

async function raise(db: Kysely<TelemetryDatabase>, name: string, value: number): Promise<void> {
  await writeCursor(db, name, Math.max(value, await readCursor(db, name)));
}
