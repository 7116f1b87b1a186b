/**
 * How far what came is summed up: exactly what was received before these instants is in minutes, and in hours. Whoever
 * reads takes hours and minutes up to there and batches as they came from there on, and has each once.
 */
import type { Kysely } from 'kysely';
import type { TelemetryDatabase } from '#cloud/store/telemetry-tables.js';

/** Seconds. */
export const resolutions = [60, 3600] as const;
export type Resolution = (typeof resolutions)[number];

/** Epoch milliseconds, the begin of a minute and of an hour; hours are never further than minutes. */
export interface Summed {
  readonly minutesTo: number;
  readonly hoursTo: number;
}

const names = { minutesTo: 'minutesSummedTo', hoursTo: 'hoursSummedTo' } as const;

export async function readSummed(db: Kysely<TelemetryDatabase>): Promise<Summed> {
  return { minutesTo: await readCursor(db, names.minutesTo), hoursTo: await readCursor(db, names.hoursTo) };
}

export async function writeSummed(db: Kysely<TelemetryDatabase>, to: Partial<Summed>): Promise<void> {
  if (to.minutesTo !== undefined) await writeCursor(db, names.minutesTo, to.minutesTo);
  if (to.hoursTo !== undefined) await writeCursor(db, names.hoursTo, to.hoursTo);
}

export function startOf(atMs: number, resolution: number): number {
  const stepMs = resolution * 1000;
  return Math.floor(atMs / stepMs) * stepMs;
}

/** The first begin that is not before. */
export function ceilOf(atMs: number, resolution: number): number {
  const start = startOf(atMs, resolution);
  return start === atMs ? start : start + resolution * 1000;
}

export async function readCursor(db: Kysely<TelemetryDatabase>, name: string): Promise<number> {
  const row = await db.selectFrom('telemetryCursors').select('value').where('name', '=', name).executeTakeFirst();
  return row?.value ?? 0;
}

export async function writeCursor(db: Kysely<TelemetryDatabase>, name: string, value: number): Promise<void> {
  await db.replaceInto('telemetryCursors').values({ name, value }).execute();
}
