import { copyFile } from 'node:fs/promises';
import { sql } from 'kysely';
import { beforeAll, describe, expect, it } from 'vitest';
import { openSqlite } from '#cloud/store/sqlite.js';
import { openTelemetryDatabase, telemetryMigrations } from '#cloud/store/telemetry-database.js';
import { parseMetric } from '#cloud/telemetry/metric.js';
import { TelemetryRepository } from '#cloud/telemetry/telemetry-repository.js';
import { metricsOf, SayingDevice, system } from '#test/support/telemetry-batches.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const minute = 60_000;
const hour = 60 * minute;
/** The begin of an hour. */
const start = 1_000 * hour;
/** More than are written in one commit, of minutes and of hours. */
const count = 510;
const folder = temporaryFolder();

async function told(store: TelemetryRepository, stepMs: number): Promise<(number | null)[]> {
  const span = { workspace: 'w', metric: parseMetric('requests'), fromMs: start, toMs: start + 2 * hour, stepMs };
  const [line] = (await store.series(span)).series;
  return [...(line?.values ?? [])];
}

describe('sums that are written while a control plane is killed', () => {
  const devices = Array.from({ length: count }, (_, n) => new SayingDevice(`d${String(n).padStart(3, '0')}`));
  const batchesAt = (at: number) => devices.map((one) => one.telemetry(at, { digits: metricsOf([1, 2]) }, system));
  let late: ReturnType<typeof batchesAt>;

  beforeAll(async () => {
    const store = await TelemetryRepository.open(folder('prepared.db'));
    // In the order in which they came: the next one, of a new hour, shows that these minutes are over.
    for (const at of [start + 57 * minute, start + 58 * minute, start + 58 * minute + 10_000]) {
      await store.ingest(batchesAt(at));
    }
    await store.ingest(batchesAt(start + hour));
    late = batchesAt(start + 58 * minute + 20_000);
    await store.close();
  });

  it.each([0, 1, 2, 3, 4, 12, 29])('count each batch once: after %d commits', async (commits) => {
    const path = folder(`killed-${String(commits)}.db`);
    await copyFile(folder('prepared.db'), path);
    const before = await TelemetryRepository.open(path);
    for (let n = 0; n < commits; n++) await before.rollUp();
    // It writes nothing as it goes: what it knew is gone, as after a kill.
    await before.close();

    const store = await TelemetryRepository.open(path);
    const minutes = async () => (await told(store, minute)).map((value) => value ?? 0).filter((value) => value > 0);
    expect(await minutes()).toEqual([2 * count, 4 * count, 2 * count]);
    expect(await told(store, hour)).toEqual([6 * count, 2 * count]);
    // The clock was put back: this belongs to a minute that may be written, and to an hour that may be.
    await store.ingest(late.slice(0, 30));
    await store.rollUp();
    await store.ingest(late.slice(30, 60));
    while (!(await store.rollUp()).caughtUp);
    expect(await minutes()).toEqual([2 * count, 4 * count + 120, 2 * count]);
    expect(await told(store, hour)).toEqual([6 * count + 120, 2 * count]);
    const cpu = { workspace: 'w', metric: parseMetric('cpu'), fromMs: start, toMs: start + 2 * hour, stepMs: hour };
    expect((await store.series(cpu)).series[0]?.samples).toBe(4 * count + 60);
    await store.close();
  });
});

it('what could not be stored is in no sum, and counts once when it comes again', async () => {
  const path = folder('refused.db');
  const store = await TelemetryRepository.open(path);
  const device = new SayingDevice('d');
  await store.ingest([device.telemetry(start, { digits: metricsOf([1]) })]);
  await store.rollUp();
  const db = await openTelemetryDatabase(path);
  // The last that is written: all else of the transaction is there by then.
  await sql`create trigger refuse before update on streamMarks begin select raise(abort, 'no'); end`.execute(db);
  const batch = device.telemetry(start + 1000, { digits: metricsOf([1, 2]) });
  await expect(store.ingest([batch])).rejects.toThrow('no');
  await sql`drop trigger refuse`.execute(db);
  await db.destroy();
  expect((await store.rollUp()).modules).toEqual([]);
  await store.ingest([batch, device.telemetry(start + minute, { digits: metricsOf([1]) })]);
  const { modules } = await store.rollUp();
  expect(modules.map(({ requests }) => requests)).toEqual([3]);
  expect((await told(store, minute)).filter((value) => value !== null)).toEqual([3, 1]);
  await store.close();
});

it('sums of before, of which a part of the last minute and hour was written, become whole', async () => {
  const path = folder('old.db');
  const device = new SayingDevice('d');
  const instants = [start + 58 * minute, start + hour, start + hour + 5 * minute, start + hour + 5 * minute + 1000];
  const made = await TelemetryRepository.open(path);
  for (const at of instants) await made.ingest([device.telemetry(at, { digits: metricsOf([1]) }, system)]);
  while (!(await made.rollUp()).caughtUp);
  await made.close();
  const db = await openTelemetryDatabase(path);
  // As it was: all but the last row is in the sums of its minute and its hour.
  await sql`delete from migrations where name = 'telemetry-0004-summed-to'`.execute(db);
  await sql`delete from telemetryCursors`.execute(db);
  await sql`insert into telemetryCursors values ('moduleMetrics', 3), ('systemMetrics', 3)`.execute(db);
  for (const [resolution, startAt] of [
    [60, start + hour + 5 * minute],
    [3600, start + hour],
  ] as const) {
    await sql`replace into moduleRollups select workspace, ${resolution}, ${startAt}, device, module, version, digest,
      provider, 999, errorsJson, latencyJson, detailJson from moduleRollups limit 1`.execute(db);
  }
  await db.destroy();
  await (await openSqlite(path, { synchronous: 'NORMAL', migrations: telemetryMigrations })).destroy();
  const store = await TelemetryRepository.open(path);
  expect((await told(store, minute)).filter((value) => value !== null)).toEqual([1, 1, 2]);
  await store.ingest([device.telemetry(start + 2 * hour, { digits: metricsOf([1]) }, system)]);
  while (!(await store.rollUp()).caughtUp);
  expect(await told(store, hour)).toEqual([1, 3]);
  await store.close();
});
