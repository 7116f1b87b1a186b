/**
 * Telemetry of 5,000 devices into the store as fast as it goes, beside bare inserts of the same rows; and how long the
 * questions of the rollout screen take meanwhile, beside a control plane that has nothing else to do. The batches come
 * as from the broker, which is not measured here.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openControlDatabase } from '#cloud/store/control-database.js';
import { type CloudParts, openCloudParts } from '#test/support/cloud-parts.js';
import { fillWithDevices } from '#test/support/many-devices.js';
import { type EncodedHistogram, LatencyHistogram } from './latency-histogram.js';
import { LineProcess } from './line-process.js';
import { printRatios, printTable } from './report.js';
import { putGatedRollout } from './telemetry/gated-rollout.js';
import { SayingFleet } from './telemetry/said.js';
import { saturate } from './telemetry/saturate.js';

const devices = 5_000;
const canaries = 500;
const digests = { before: `sha256:${'0'.repeat(64)}`, after: `sha256:${'1'.repeat(64)}` };
const batchesPerCommit = 2_000;
const [bareSeconds, quietSeconds, aloneSeconds, loadSeconds] = [8, 15, 10, 20];
const rowsPerBatch = 2;
const screen = ['', '/history', '/waits', '/gates'].map((part) => `/v1/workspaces/default/rollouts/1${part}`);

const script = (name: string): string => fileURLToPath(new URL(`./telemetry/${name}.js`, import.meta.url));

export async function run(): Promise<void> {
  const bare = await bareInserts();
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-telemetry-bench-'));
  const control = await openControlDatabase(join(folder, 'control.db'));
  await fillWithDevices(control, { devices, rollouts: 0, commands: 0 });
  await putGatedRollout(control, canaries, digests);
  await control.destroy();
  const cloud = await openCloudParts(folder);
  const asking = new LineProcess(script('asking-process'), [], undefined);
  try {
    const fleet = new SayingFleet(devices, (number) => (number < canaries ? digests.after : digests.before));
    // What is compiled when it is first used, and some telemetry for gates to read.
    await saturate(cloud, fleet, 3);
    await ask(asking, cloud, 2);
    await summedUp(cloud);
    const quiet = await ask(asking, cloud, quietSeconds);
    // Nobody asks: what ingest itself takes, with all sums.
    const [alone, begunAlone] = [process.cpuUsage(), performance.now()];
    const batchesAlone = await saturate(cloud, fleet, aloneSeconds);
    const secondsAlone = (performance.now() - begunAlone) / 1000;
    const ingestAlone = cpuSeconds(process.cpuUsage(alone));
    await summedUp(cloud);
    const allAlone = cpuSeconds(process.cpuUsage(alone));
    const before = process.cpuUsage();
    const idle = performance.eventLoopUtilization();
    const began = performance.now();
    const [batches, busy] = await Promise.all([saturate(cloud, fleet, loadSeconds), ask(asking, cloud, loadSeconds)]);
    const seconds = (performance.now() - began) / 1000;
    const { utilization } = performance.eventLoopUtilization(idle);
    const all = cpuSeconds(process.cpuUsage(before));
    const bytes = (await stat(join(folder, 'telemetry.db'))).size;
    const rows = batchesAlone * rowsPerBatch;
    const aCpuSecond = bare.rows / bare.cpuSeconds;
    printRatios([
      { what: 'rows, nobody asks', ours: rows / secondsAlone, limit: bare.rows / bare.seconds, unit: 'a second' },
      { what: 'rows, without sums', ours: rows / ingestAlone, limit: aCpuSecond, unit: 'a CPU second' },
      { what: 'rows, with all sums', ours: rows / allAlone, limit: aCpuSecond, unit: 'a CPU second' },
      {
        what: 'rows, while asked',
        ours: (batches * rowsPerBatch) / seconds,
        limit: bare.rows / bare.seconds,
        unit: 'a second',
      },
    ]);
    console.log(
      `while asked: ${String(batches)} batches of ${String(devices)} devices in ${seconds.toFixed(1)} s, CPU ${all.toFixed(1)} s, main thread ${(utilization * 100).toFixed(0)} % busy; store ${(bytes / 2 ** 20).toFixed(0)} MiB`,
    );
    printTable(
      ['milliseconds', 'quiet p50', 'p99', 'asked', 'at saturation p50', 'p99', 'asked'],
      screen.map((path) => [path.split('/1')[1] || 'show', ...told(quiet.get(path)), ...told(busy.get(path))]),
    );
  } finally {
    await asking.end();
    await cloud.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

const cpuSeconds = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1e6;

async function bareInserts(): Promise<{
  readonly rows: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}> {
  const process = new LineProcess(script('bare-inserts-process'), [], undefined);
  const { batches, ...took } = await process.ask<{ batches: number; seconds: number; cpuSeconds: number }>({
    ...{ devices, batchesPerCommit, seconds: bareSeconds },
  });
  await process.end();
  return { rows: batches * rowsPerBatch, ...took };
}

async function summedUp({ telemetry }: CloudParts): Promise<void> {
  while (!(await telemetry.rollUp()).caughtUp);
}

async function ask(
  asking: LineProcess,
  { url, token }: CloudParts,
  seconds: number,
): Promise<ReadonlyMap<string, LatencyHistogram>> {
  const { times } = await asking.ask<{ times: { path: string; encoded: EncodedHistogram }[] }>({
    ...{ url, token, seconds, paths: screen },
  });
  return new Map(times.map(({ path, encoded }) => [path, LatencyHistogram.of([encoded])]));
}

function told(times = new LatencyHistogram()): string[] {
  const [half, most] = [times.percentile(0.5), times.percentile(0.99)];
  return [half?.toFixed(1) ?? '-', most?.toFixed(1) ?? '-', String(times.count)];
}
