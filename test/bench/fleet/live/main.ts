/**
 * `npm run bench:fleet -- --live --devices 10000`: a whole simulated fleet over TLS and MQTT against a built control plane:
 * it enrols, goes through a rollout in waves, through another one while the control plane is killed twice, and comes back
 * at once after a third kill; then a bare broker does what a bare broker can. Prints times, memory, CPU and what was lost.
 */
import { parseArgs } from 'node:util';
import { printTable } from '../../report.js';
import { type Bare, measureBare } from './bare.js';
import { type Noted, readLogs } from './device-logs.js';
import { FleetRun, type LiveOptions, loadAverage } from './fleet-run.js';
import { losses, type WaveTimes, waveTimes } from './judge.js';
import { askedCount, askedTimes, fleetCounts, rolloutRows, rolloutState } from './rows.js';

const failures: string[] = [];

export async function runLive(args: readonly string[]): Promise<void> {
  const options = readOptions(args);
  const { devices, processes } = options;
  console.log(`${count(devices)} simulated devices in ${String(processes)} processes; load ${loadAverage()}`);
  const run = await FleetRun.open(options);
  let bytes = 0;
  let times: Measured;
  try {
    await enrol(run);
    times = await rollOut(run);
    bytes = times.documentBytes;
    await rollOutWithKills(run);
    times = { ...times, back: await comeBack(run) };
    run.simulators?.kill('SIGINT');
    await run.simulators?.exited;
  } finally {
    await run.world.close();
  }
  compare(times, await measureBare(devices, processes, bytes));
  console.log(`load ${loadAverage()}`);
  for (const failure of failures) console.log(`LOST: ${failure}`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

interface Measured {
  readonly waves: readonly WaveTimes[];
  readonly documentBytes: number;
  readonly back?: { readonly seconds: number; readonly cpuSeconds: number };
}

async function enrol(run: FleetRun): Promise<void> {
  const { devices } = run.options;
  const [rss, cpu] = [run.cloudRss, run.cloudCpu];
  const begun = performance.now();
  run.startSimulators();
  await run.until('enrolled', () => run.enrolled === devices);
  const enrolled = (performance.now() - begun) / 1000;
  await run.until('connected', () => run.connected === devices && fleetCounts(run.world.dataDir).online === devices);
  const connected = (performance.now() - begun) / 1000;
  const perDevice = ((run.cloudCpu - cpu) * 1000) / devices;
  console.log(
    `enrolled ${count(devices)} in ${seconds(enrolled)} (${(devices / enrolled).toFixed(0)} a second), all online after ${seconds(connected)}; ${perDevice.toFixed(1)} ms of the control plane's CPU a device`,
  );
  console.log(
    `control plane, resident: ${megabytes(rss)} before, ${megabytes(run.cloudRss)} with all (${kilobytes((run.cloudRss - rss) / devices)} a device)`,
  );
}

async function rollOut(run: FleetRun): Promise<Measured> {
  const { dataDir } = run.world;
  const [cpu, since] = [run.cloudCpu, Date.now()];
  await run.startRollout('vision:1');
  const took = await run.untilOver(1);
  const cpuSeconds = run.cloudCpu - cpu;
  const [rows, noted] = [rolloutRows(dataDir, 1), await readLogs(run.logs)];
  const waves = waveTimes(rows, noted, since);
  console.log(
    `rollout 1 ${rolloutState(dataDir, 1)} in ${seconds(took)}; ${seconds(cpuSeconds)} of CPU, ${((cpuSeconds * 1000) / run.options.devices).toFixed(1)} ms a device; resident ${megabytes(run.cloudRss)}`,
  );
  printTable(
    [
      'wave',
      'devices',
      'first commit to last PUBACK',
      'verified and reported',
      'one device, commit to PUBACK: p99, most',
    ],
    waves.map(({ wave, devices, arrived, done, each }) => [
      ...[String(wave + 1), count(devices), seconds(arrived), seconds(done)],
      `${seconds(each.p99)}, ${seconds(each.most)}`,
    ]),
  );
  nothingLost(run, 1, 'vision:1', noted);
  const sizes = noted.flatMap(({ did, at, bytes }) => (did === 'received' && at >= since ? [bytes ?? 0] : []));
  const documentBytes = Math.round(sizes.reduce((sum, size) => sum + size, 0) / sizes.length);
  return { waves, documentBytes };
}

async function rollOutWithKills(run: FleetRun): Promise<void> {
  const { devices } = run.options;
  const { dataDir } = run.world;
  const begun = performance.now();
  await run.startRollout('vision:2');
  const kill = async (share: number): Promise<void> => {
    await run.until(
      `${String(share * 100)} % are asked`,
      () => askedCount(dataDir, 2) >= Math.ceil(devices * share),
      50,
    );
    const asked = askedCount(dataDir, 2);
    const ready = await run.killAndRestart();
    console.log(`  SIGKILL with ${count(asked)} asked, ready again after ${seconds(ready)}`);
  };
  await kill(0.05);
  await kill(0.5);
  await run.untilOver(2);
  const took = (performance.now() - begun) / 1000;
  console.log(`rollout 2, killed twice: ${rolloutState(dataDir, 2)} in ${seconds(took)}`);
  nothingLost(run, 2, 'vision:2', await readLogs(run.logs));
}

async function comeBack(run: FleetRun): Promise<{ readonly seconds: number; readonly cpuSeconds: number }> {
  const { devices } = run.options;
  const { dataDir } = run.world;
  await run.until('all are back', () => run.connected === devices && fleetCounts(dataDir).online === devices);
  const before = fleetCounts(dataDir);
  const killed = Date.now();
  const ready = await run.killAndRestart();
  const from = performance.now();
  const connections = async (): Promise<Map<string, number>> =>
    new Map(
      (await readLogs(run.logs)).flatMap(({ did, at, device }) =>
        did === 'connected' && at >= killed ? [[device, at]] : [],
      ),
    );
  await run.until('connected again', () => run.connected < devices || performance.now() - from > 5_000, 50);
  await run.until('connected again', () => run.connected === devices);
  await run.until('steady', () => {
    const now = fleetCounts(dataDir);
    return now.online === devices && now.converged === devices;
  });
  const took = (performance.now() - from) / 1000;
  const cpuSeconds = run.cloudCpu;
  const [after, back] = [fleetCounts(dataDir), await connections()];
  if (back.size !== devices) failures.push(`${count(devices - back.size)} devices did not connect again`);
  if (after.converged < before.converged)
    failures.push(`${count(before.converged - after.converged)} are converged no more`);
  const at = [...back.values()].map((time) => (time - killed) / 1000).sort((a, b) => a - b);
  const share = (part: number): string =>
    seconds(at[Math.min(at.length - 1, Math.floor(at.length * part))] ?? Number.NaN);
  console.log(
    `all came back after SIGKILL: ready after ${seconds(ready)}, steady ${seconds(took)} later; connected since the kill: half ${share(0.5)}, 99 % ${share(0.99)}, all ${share(1)}; ${seconds(cpuSeconds)} of CPU; resident ${megabytes(run.cloudRss)}`,
  );
  return { seconds: took, cpuSeconds };
}

function nothingLost(run: FleetRun, rollout: number, release: string, noted: readonly Noted[]): void {
  const { dataDir } = run.world;
  const found = losses(release, rolloutRows(dataDir, rollout), askedTimes(dataDir, rollout), noted);
  const { acceptedOtherwise, askedOtherwise, endedOtherwise, rows } = found;
  console.log(
    `  ${count(rows)} rows; not asked exactly once: ${count(askedOtherwise.length)}; not accepted exactly once by the device's log: ${count(acceptedOtherwise.length)}; not succeeded at the first attempt: ${count(endedOtherwise.length)}`,
  );
  const wrong = [...acceptedOtherwise, ...askedOtherwise, ...endedOtherwise];
  if (rows !== run.options.devices) failures.push(`rollout ${String(rollout)} has ${count(rows)} devices`);
  if (wrong.length > 0) failures.push(`rollout ${String(rollout)}: ${wrong.slice(0, 5).join(', ')}`);
}

function compare({ waves, documentBytes, back }: Measured, bare: Bare): void {
  const last = waves.reduce((largest, wave) => (wave.devices > largest.devices ? wave : largest));
  console.log(
    `a document is ${count(documentBytes)} bytes; a connection of the bare broker takes ${kilobytes(bare.bytesPerConnection)}`,
  );
  const all = waves.reduce((sum, wave) => sum + wave.devices, 0);
  // The bare broker sends to all; the largest wave to its share of them.
  const fanOut = (bare.fanOutSeconds * last.devices) / all;
  const ratio = (ours: number, limit: number): string => (ours / limit).toFixed(1);
  printTable(
    ['what', 'ours', 'bare', 'ratio'],
    [
      [
        `${count(last.devices)} documents, commit to last PUBACK`,
        seconds(last.arrived),
        seconds(fanOut),
        ratio(last.arrived, fanOut),
      ],
      ['  verified and reported', seconds(last.done), '', ratio(last.done, fanOut)],
      ...(back === undefined
        ? []
        : [
            [
              'all back at once, until steady',
              seconds(back.seconds),
              seconds(bare.handshakesSeconds),
              ratio(back.seconds, bare.handshakesSeconds),
            ],
            [
              "  server's CPU",
              seconds(back.cpuSeconds),
              seconds(bare.handshakesCpuSeconds),
              ratio(back.cpuSeconds, bare.handshakesCpuSeconds),
            ],
          ]),
    ],
  );
  console.log(
    `bare broker: all ${count(all)} in ${seconds(bare.fanOutSeconds)}, ${seconds(bare.fanOutCpuSeconds)} of CPU`,
  );
}

function readOptions(args: readonly string[]): LiveOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      devices: { type: 'string', default: '10000' },
      processes: { type: 'string', default: '4' },
      telemetry: { type: 'string', default: '0s' },
      'enrol-at-once': { type: 'string', default: '8' },
      'connect-per-second': { type: 'string', default: '400' },
      strangers: { type: 'string', default: '500' },
    },
  });
  const number = (text: string): number => {
    const value = Number(text);
    if (Number.isSafeInteger(value) && value >= 1) return value;
    throw new Error(`${text}: a whole number from 1 on is needed`);
  };
  return {
    ...{ devices: number(values.devices), processes: number(values.processes), telemetry: values.telemetry },
    enrolAtOnce: number(values['enrol-at-once']),
    connectPerSecond: number(values['connect-per-second']),
    strangers: number(values.strangers),
  };
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}

function seconds(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(0)} MB`;
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1024).toFixed(0)} KB`;
}
