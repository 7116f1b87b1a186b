/**
 * `npm run bench:cycles -- --cycles 500 --mode load|swap|both`: a MobileNet-size model loaded, asked and unloaded
 * over HTTP; then hosts replaced by handover under load without pause. A line every 50 cycles; ends with 1 when
 * memory, descriptors or threads do not come back, or a request failed.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { hostedModule } from '#test/support/scoring-harness.js';
import { SteadyLoad } from '#test/support/steady-load.js';
import { growthHeader, growthOf, growthRows, usualBounds, type Sample } from '../growth.js';
import { ask, postRequest } from '../http-client.js';
import { OwnedHost } from '../owned-host.js';
import { processTree, sizeOf } from '../process-cost.js';
import { printTable } from '../report.js';
import { placeSubject, type Subject } from '../scoring/subjects.js';
import { headersOf, requestOf } from '../scoring/wire.js';

const usage = `npm run bench:cycles -- [options]
  --cycles 500  how often
  --every 50    cycles from one line of figures to the next
  --mode both   load: a model unloaded and loaded; swap: hosts replaced under load; both: one after the other
  --help        this text
Example: npm run bench:cycles -- --cycles 100 --every 10 --mode load`;

const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '500' },
    every: { type: 'string', default: '50' },
    mode: { type: 'string', default: 'both' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const cycles = Number(values.cycles);
const every = Number(values.every);
if (!(cycles >= 1 && every >= 1) || !['load', 'swap', 'both'].includes(values.mode)) {
  console.error(`bench:cycles needs --cycles of 1 or more, --mode load, swap or both\n\n${usage}`);
  process.exit(2);
}
const token = 'cycles';
const clients = 4;

const folder = await mkdtemp(join(tmpdir(), 'flotilla-cycles-'));
let failed = false;
try {
  if (values.mode !== 'swap') failed = !(await loadCycles()) || failed;
  if (values.mode !== 'load') failed = !(await swapCycles()) || failed;
} finally {
  await rm(folder, { recursive: true, force: true });
}
if (failed) process.exitCode = 1;

/** One host; a leak of one session would be 14 MB a cycle. */
async function loadCycles(): Promise<boolean> {
  const subject = await placed('mobilenet');
  const message = requestOf(subject.inputs, 'binary');
  const request = postRequest('/v2/models/mobilenet/infer', headersOf(message), message.body);
  const host = ownedHost('mobilenet');
  try {
    await host.next();
    console.log(`${String(cycles)} times: unload, load, one request`);
    const samples: Sample[] = [];
    for (let cycle = 1; cycle <= cycles; cycle++) {
      if (!(await host.repository('unload', 'mobilenet', token))) {
        console.log('this host has no routes to load and unload: nothing was measured');
        return false;
      }
      if (cycle % every === 0 || cycle === 1) console.log(`cycle ${String(cycle)}, unloaded: ${sizeLine(host.pid)}`);
      await host.repository('load', 'mobilenet', token);
      const { status } = await ask(host.port, request);
      if (status !== 200) throw new Error(`cycle ${String(cycle)}: the model answers ${String(status)}`);
      if (cycle % every === 0 || cycle === 1) {
        console.log(`cycle ${String(cycle)},   loaded: ${sizeLine(host.pid)}`);
        keep(samples, host.pid);
      }
    }
    return verdict(samples, host.unasked);
  } finally {
    await host.end();
  }
}

/** A new host each time, on the same port: what is left grows in its owner, which is this process. */
async function swapCycles(): Promise<boolean> {
  const subject = await placed('mlp');
  const host = ownedHost('mlp');
  try {
    await host.next();
    const url = `http://127.0.0.1:${String(host.port)}/v2/models/mlp/infer`;
    const load = new SteadyLoad(url, requestOf(subject.inputs, 'JSON').body, clients);
    console.log(
      `${String(cycles)} handovers to a new host, ${String(clients)} clients without pause and without retry`,
    );
    const samples: Sample[] = [];
    for (let cycle = 1; cycle <= cycles; cycle++) {
      await host.next();
      if (cycle % every !== 0 && cycle !== 1) continue;
      console.log(`cycle ${String(cycle)}: owner ${sizeLine(process.pid, false)}; host ${sizeLine(host.pid)}`);
      keep(samples, process.pid, false);
    }
    const { answered, failed: lost, versions, failures } = await load.stop();
    console.log(
      `${String(answered)} requests answered by ${String(Object.keys(versions).length)} versions, ${String(lost)} failed`,
    );
    for (const failure of failures) console.log(`  ${failure}`);
    return verdict(samples, [...host.unasked, ...failures]);
  } finally {
    await host.end();
  }
}

function ownedHost(model: string): OwnedHost {
  return new OwnedHost(
    (version) => ({
      modules: [hostedModule(folder, `${model}.onnx`, { name: model, version })],
      labels: {},
      maxBodyBytes: 4 * 1024 * 1024,
      controlToken: token,
    }),
    (line) => console.error(line),
  );
}

async function placed(model: 'mobilenet' | 'mlp'): Promise<Subject> {
  const subject = await placeSubject(model, folder);
  if (!subject) throw new Error(`no model ${model}`);
  return subject;
}

function keep(samples: Sample[], pid: number, withChildren = true): void {
  const size = sizeOf(withChildren ? processTree(pid) : [pid]);
  if (size) samples.push(size);
}

function sizeLine(pid: number, withChildren = true): string {
  const size = sizeOf(withChildren ? processTree(pid) : [pid]);
  if (!size) return 'size unknown here';
  const { pssBytes, rssBytes, descriptors, threads } = size;
  const mib = (bytes: number): string => (bytes / 1024 ** 2).toFixed(0);
  return `Pss ${mib(pssBytes)} MiB, RSS ${mib(rssBytes)} MiB, ${String(descriptors)} fds, ${String(threads)} threads`;
}

/** The first sample is of a process that has not warmed up. */
function verdict(samples: readonly Sample[], unexpected: readonly string[]): boolean {
  const growths = growthOf(samples.slice(1), usualBounds);
  printTable(growthHeader, growthRows(growths));
  return unexpected.length === 0 && growths.every(({ ok }) => ok);
}
