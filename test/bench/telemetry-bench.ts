/**
 * Telemetry of 5,000 devices into the store as fast as it goes, beside bare inserts of the same rows; and how long the
 * questions of the rollout screen take meanwhile, beside a control plane that has nothing else to do. The batches come
 * as from the broker, which is not measured here. Devices' time passes ten seconds a batch, so that sums have the
 * minutes and hours that they have at any rate; each minute that was said is summed up into its hour within the measure.
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
const bareSeconds = 8;
/** Two minutes of each device, however long they take. */
const saidRounds = 12;
/** Of each question: a p99 needs a hundred answers. */
const rounds = 110;
const mostSeconds = 60;
const hourMs = 3_600_000;
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
    await saturate(cloud, fleet, fleet.hasSaid(2));
    await ask(asking, cloud, 5);
    await summedUp(cloud);
    const quiet = await ask(asking, cloud, rounds);
    // Nobody asks: what ingest itself takes, with the minutes that are over; then all of its minutes, and their hours.
    const alone = await measured(() => saturate(cloud, fleet, fleet.hasSaid(saidRounds)));
    const sums = await measured(async () => {
      fleet.pass(hourMs);
      const batches = await saturate(cloud, fleet, fleet.hasSaid(1));
      await summedUp(cloud);
      return batches;
    });
    const idle = performance.eventLoopUtilization();
    let isAsked = true;
    const asked = ask(asking, cloud, rounds).finally(() => (isAsked = false));
    const loaded = await measured(() => saturate(cloud, fleet, () => !isAsked));
    const busy = await asked;
    const { utilization } = performance.eventLoopUtilization(idle);
    const bytes = (await stat(join(folder, 'telemetry.db'))).size;
    const bareRate = bare.rows / bare.seconds;
    const rate = (alone.batches * rowsPerBatch) / alone.seconds;
    const loadedRate = (loaded.batches * rowsPerBatch) / loaded.seconds;
    const all = (alone.batches + sums.batches) * rowsPerBatch;
    const aCpuSecond = { limit: bare.rows / bare.cpuSeconds, unit: 'a CPU second' };
    const aSecond = { limit: bareRate, unit: 'a second' };
    const cpuRate = (alone.batches * rowsPerBatch) / alone.cpuSeconds;
    const loadedCpuRate = (loaded.batches * rowsPerBatch) / loaded.cpuSeconds;
    printRatios([
      { what: 'rows as they come', ours: cpuRate, ...aCpuSecond },
      { what: 'rows, with all sums', ours: all / (alone.cpuSeconds + sums.cpuSeconds), ...aCpuSecond },
      { what: 'rows, while asked', ours: loadedCpuRate, ...aCpuSecond },
      { what: 'rows, nobody asks', ours: rate, ...aSecond },
      { what: 'rows, while asked', ours: loadedRate, ...aSecond },
      { what: 'asked beside not asked', ours: loadedRate, limit: rate, unit: 'a second' },
      { what: 'asked beside not asked', ours: loadedCpuRate, limit: cpuRate, unit: 'a CPU second' },
    ]);
    console.log(
      `while asked: ${String(loaded.batches)} batches of ${String(devices)} devices in ${loaded.seconds.toFixed(1)} s, CPU ${loaded.cpuSeconds.toFixed(1)} s, main thread ${(utilization * 100).toFixed(0)} % busy, ${String(countOf(busy))} questions; store ${(bytes / 2 ** 20).toFixed(0)} MiB`,
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

interface Measured {
  readonly batches: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

async function measured(work: () => Promise<number>): Promise<Measured> {
  const [cpu, begun] = [process.cpuUsage(), performance.now()];
  const batches = await work();
  return { batches, seconds: (performance.now() - begun) / 1000, cpuSeconds: cpuSeconds(process.cpuUsage(cpu)) };
}

const countOf = (times: ReadonlyMap<string, LatencyHistogram>): number =>
  [...times.values()].reduce((sum, { count }) => sum + count, 0);

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
  rounds: number,
): Promise<ReadonlyMap<string, LatencyHistogram>> {
  const { times } = await asking.ask<{ times: { path: string; encoded: EncodedHistogram }[] }>({
    ...{ url, token, rounds, mostSeconds, paths: screen },
  });
  return new Map(times.map(({ path, encoded }) => [path, LatencyHistogram.of([encoded])]));
}

function told(times = new LatencyHistogram()): string[] {
  const [half, most] = [times.percentile(0.5), times.percentile(0.99)];
  return [half?.toFixed(1) ?? '-', most?.toFixed(1) ?? '-', String(times.count)];
}
