/** The limit of the telemetry store: the same rows by prepared statements of many, some thousand in a transaction, and no more. */
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { openTelemetryDatabase } from '#cloud/store/telemetry-database.js';
import { telemetryBatchSchema } from '#shared/protocol/stream.js';
import { detailJsonOf } from '#cloud/telemetry/module-detail.js';
import { answerLines } from '../line-process.js';
import { SayingFleet } from './said.js';

interface Question {
  readonly devices: number;
  readonly batchesPerCommit: number;
  readonly seconds: number;
}

/** As many as are fastest here: one by one takes a third more. */
const rowsAtOnce = 50;

await answerLines(async ({ devices, batchesPerCommit, seconds }: Question) => {
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-bare-inserts-'));
  const path = join(folder, 'telemetry.db');
  await (await openTelemetryDatabase(path)).destroy();
  const db = new Database(path);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = NORMAL');
  const [moduleRows, systemRows] = [
    db.prepare(`insert into moduleMetrics (workspace, device, receivedAt, at, bootId, sequence, module, version, digest,
      provider, requests, errorsJson, latencyJson, detailJson) values ${placesOf(14)}`),
    db.prepare(`insert into systemMetrics values ${placesOf(7)}`),
  ];
  const fleet = new SayingFleet(devices, () => `sha256:${'1'.repeat(64)}`);
  const rows = Array.from({ length: devices }, () => {
    const { device, payload } = fleet.next();
    const { at, modules, system } = telemetryBatchSchema.parse(JSON.parse(Buffer.from(payload).toString()));
    const [[name, metrics] = []] = Object.entries(modules);
    if (name === undefined || metrics === undefined) throw new Error('a batch without a module');
    const { version, digest, provider = null, requests } = metrics;
    const texts = [JSON.stringify(metrics.errors), JSON.stringify(metrics.latencyMs), detailJsonOf(metrics)] as const;
    const modulesValues = [name, version, digest, provider, requests, ...texts] as const;
    return { device, at, module: modulesValues, system: JSON.stringify(system) };
  });
  const before = process.cpuUsage();
  const began = performance.now();
  const begunAt = Date.now();
  let batches = 0;
  while (performance.now() - began < seconds * 1000) {
    db.exec('begin');
    for (let n = 0; n < batchesPerCommit; n += rowsAtOnce) {
      const [moduleCells, systemCells]: [unknown[], unknown[]] = [[], []];
      for (let one = 0; one < rowsAtOnce; one++, batches++) {
        const row = rows[batches % rows.length];
        if (row === undefined) continue;
        const round = Math.floor(batches / rows.length);
        const head = ['default', row.device, begunAt + round * 10_000, row.at, 1, round + 1];
        moduleCells.push(...head, ...row.module);
        systemCells.push(...head, row.system);
      }
      moduleRows.run(moduleCells);
      systemRows.run(systemCells);
    }
    db.exec('commit');
  }
  const { user, system } = process.cpuUsage(before);
  const answer = { batches, seconds: (performance.now() - began) / 1000, cpuSeconds: (user + system) / 1e6 };
  db.close();
  rmSync(folder, { recursive: true });
  return answer;
});

function placesOf(columns: number): string {
  const row = `(${Array<string>(columns).fill('?').join(', ')})`;
  return Array<string>(rowsAtOnce).fill(row).join(', ');
}
