/**
 * `npm run bench:soak -- --minutes 60`: a scoring host under a mix of requests, a line a minute. Models come and go
 * by the repository API all the time; the host is replaced by handover in the first half, so that one host lives
 * through the second, over which growth is judged. Ends with 1 when something grew or failed unexpectedly.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { convolutionModel } from '#test/support/onnx-writer.js';
import { hostedModule } from '#test/support/scoring-harness.js';
import { growthHeader, growthOf, growthRows, usualBounds, type Sample } from '../growth.js';
import { OwnedHost } from '../owned-host.js';
import { processTree, sizeOf } from '../process-cost.js';
import { printTable } from '../report.js';
import { placeSubject } from '../scoring/subjects.js';
import { kindsOf, type SoakModel } from './kinds.js';
import { minuteCells, minuteHeader, seededRandom } from './minutes.js';
import { MixedLoad } from './mixed-load.js';

const usage = `npm run bench:soak -- [options]
  --minutes 60         how long: one host lives through the second half, over which growth is judged; from 2
  --rate 100           requests a second
  --swap-minutes 3     in the first half, how often the host is replaced
  --minute-seconds 60  shorter minutes, to try the program itself
  --help               this text
Example: npm run bench:soak -- --minutes 10 --rate 200`;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    rate: { type: 'string', default: '100' },
    'swap-minutes': { type: 'string', default: '3' },
    'minute-seconds': { type: 'string', default: '60' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const minutes = Number(values.minutes);
const rate = Number(values.rate);
const swapMinutes = Number(values['swap-minutes']);
const minuteMs = Number(values['minute-seconds']) * 1000;
if (!(minutes >= 2 && rate > 0 && swapMinutes >= 1 && minuteMs > 0)) {
  console.error(`bench:soak needs --minutes of 2 or more, --rate above 0, --swap-minutes of 1 or more\n\n${usage}`);
  process.exit(2);
}

const token = 'soak';
const folder = await mkdtemp(join(tmpdir(), 'flotilla-soak-'));
const convolutions: SoakModel = {
  name: 'convolutions',
  inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 3, 64, 64], data: Array<number>(3 * 64 * 64).fill(0.5) }],
  weights: { JSON: 1, binary: 6 },
};
await writeFile(join(folder, 'convolutions.onnx'), convolutionModel({ layers: 8, channels: 16, size: 64 }));
const models: SoakModel[] = [];
for (const [name, weights] of [
  ['mlp', { JSON: 45, binary: 15 }],
  ['digits', { JSON: 15, binary: 10 }],
] as const) {
  const subject = await placeSubject(name, folder);
  if (subject) models.push({ name, inputs: subject.inputs, weights });
}
models.push(convolutions);

const warnings: string[] = [];
const host = new OwnedHost(
  (version) => ({
    modules: models.map(({ name }) => hostedModule(folder, `${name}.onnx`, { name, version })),
    labels: { generation: String(version) },
    maxBodyBytes: 4 * 1024 * 1024,
    controlToken: token,
  }),
  (line) => warnings.push(line),
);
const unexpected: string[] = [];
const settled: Sample[] = [];
const swapping = new AbortController();
try {
  await host.next();
  const load = new MixedLoad(host.port, kindsOf(models), rate, seededRandom(5));
  console.log(
    `${String(minutes)} minutes, ${String(rate)} requests/s; one host from minute ${String(lastSwap() + 1)} on`,
  );
  printTable(minuteHeader, []);
  const comings = comeAndGo(load);
  for (let minute = 1; minute <= minutes; minute++) {
    const endMs = performance.now() + minuteMs;
    let event = '';
    if (minute <= lastSwap() && minute % swapMinutes === 0) {
      await host.next();
      event = 'host replaced';
    }
    await sleep(Math.max(0, endMs - performance.now()));
    const size = sizeOf(processTree(host.pid));
    const counts = load.take();
    unexpected.push(...counts.unexpected);
    // The minute in which a host warms up tells nothing of growth.
    if (size && minute > lastSwap() + 1) settled.push(size);
    const own = sizeOf([process.pid]);
    console.log(minuteCells(minute, counts, size, own, event).join('  '));
  }
  swapping.abort();
  await comings;
  await load.stop();
  unexpected.push(...load.take().unexpected);
} finally {
  swapping.abort();
  await host.end();
  await rm(folder, { recursive: true, force: true });
}

const growths = growthOf(settled, usualBounds);
console.log('');
printTable(growthHeader, growthRows(growths));
unexpected.push(...host.unasked);
console.log(`unexpected failures: ${String(unexpected.length)}`);
for (const line of [...new Set(unexpected)].slice(0, 10)) console.log(`  ${line}`);
if (warnings.length > 0) console.log(`the host warned ${String(warnings.length)} times; first: ${warnings[0] ?? ''}`);
if (unexpected.length > 0 || growths.some(({ ok }) => !ok)) process.exitCode = 1;

function lastSwap(): number {
  return Math.floor(minutes / 2);
}

/** Unloads and loads one model, twice a minute. */
async function comeAndGo(load: MixedLoad): Promise<void> {
  const { signal } = swapping;
  while (!signal.aborted) {
    try {
      await sleep(minuteMs / 2, undefined, { signal });
    } catch {
      return;
    }
    load.unloadedModels.add('digits');
    try {
      if (!(await host.repository('unload', 'digits', token))) {
        console.log('this host has no routes to load and unload: models stay');
        return;
      }
      await sleep(minuteMs / 30);
      await host.repository('load', 'digits', token);
    } catch (error) {
      unexpected.push(error instanceof Error ? error.message : String(error));
    } finally {
      load.unloadedModels.delete('digits');
    }
  }
}
