/** The limit of the telemetry store: the same rows by prepared statements, some thousand in a transaction, and no more. */
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

await answerLines(async ({ devices, batchesPerCommit, seconds }: Question) => {
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-bare-inserts-'));
  const path = join(folder, 'telemetry.db');
  await (await openTelemetryDatabase(path)).destroy();
  const db = new Database(path);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = NORMAL');
  const moduleRow = db.prepare(
    `insert into moduleMetrics (workspace, device, receivedAt, at, bootId, sequence, module, version, digest, provider,
      requests, errorsJson, latencyJson, detailJson) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const systemRow = db.prepare('insert into systemMetrics values (?, ?, ?, ?, ?, ?, ?)');
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
  let batches = 0;
  while (performance.now() - began < seconds * 1000) {
    db.exec('begin');
    const receivedAt = Date.now();
    for (let n = 0; n < batchesPerCommit; n++, batches++) {
      const row = rows[batches % rows.length];
      if (row === undefined) continue;
      const head = ['default', row.device, receivedAt, row.at, 1, Math.floor(batches / rows.length) + 1] as const;
      moduleRow.run(...head, ...row.module);
      systemRow.run(...head, row.system);
    }
    db.exec('commit');
  }
  const { user, system } = process.cpuUsage(before);
  const answer = { batches, seconds: (performance.now() - began) / 1000, cpuSeconds: (user + system) / 1e6 };
  db.close();
  rmSync(folder, { recursive: true });
  return answer;
});
