import { type Kysely, sql } from 'kysely';

const minuteMs = 60_000;
const hourMs = 3_600_000;
const tables = ['moduleMetrics', 'systemMetrics'] as const;

/**
 * How far sums have come was a row of each table, and minutes and hours that were not over had a part of them. It becomes
 * an instant: what is in minutes and hours that are not whole goes, and is summed up anew from rows and minutes.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const unsummed: number[] = [];
  const newest: number[] = [];
  for (const table of tables) {
    const cursor = await cursorOf(db, table);
    unsummed.push(...(await found(db, sql`select min(receivedAt) from ${sql.table(table)} where rowid > ${cursor}`)));
    newest.push(...(await found(db, sql`select receivedAt from ${sql.table(table)} order by rowid desc limit 1`)));
  }
  const sums = await found(db, sql`select max(startAt) + ${minuteMs} from moduleRollups where resolution = 60`);
  const open = unsummed.length > 0 ? Math.min(...unsummed) : Math.max(0, ...(newest.length > 0 ? newest : sums));
  // Rows from before this floor are gone: their sums are all that is left of them.
  const floor = Math.ceil((await cursorOf(db, 'rawFloor')) / minuteMs) * minuteMs;
  const minutesTo = Math.max(Math.floor(open / minuteMs) * minuteMs, floor);
  const hoursTo = Math.floor(minutesTo / hourMs) * hourMs;
  for (const table of ['moduleRollups', 'systemRollups']) {
    await sql`delete from ${sql.table(table)} where resolution = 60 and startAt >= ${minutesTo}`.execute(db);
    await sql`delete from ${sql.table(table)} where resolution = 3600 and startAt >= ${hoursTo}`.execute(db);
  }
  for (const table of tables) {
    const cursor = await cursorOf(db, table);
    const [last = 0] = await found(
      db,
      sql`select rowid from ${sql.table(table)} where rowid <= ${cursor} and receivedAt < ${minutesTo}
        order by rowid desc limit 1`,
    );
    await sql`replace into telemetryCursors (name, value) values (${table}, ${last})`.execute(db);
  }
  await sql`replace into telemetryCursors (name, value)
    values ('minutesSummedTo', ${minutesTo}), ('hoursSummedTo', ${hoursTo})`.execute(db);
}

async function cursorOf(db: Kysely<unknown>, name: string): Promise<number> {
  const [value = 0] = await found(db, sql`select value from telemetryCursors where name = ${name}`);
  return value;
}

/** The first column of the first row, where it is a number. */
async function found(db: Kysely<unknown>, query: ReturnType<typeof sql>): Promise<number[]> {
  const [row = {}] = (await query.execute(db)).rows as Record<string, unknown>[];
  return Object.values(row)
    .slice(0, 1)
    .filter((value) => typeof value === 'number');
}
