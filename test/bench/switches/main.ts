/**
 * `npm run bench:switches -- --switches 50`: a built agent whose module is replaced again and again, each version on
 * probation, under load from keep-alive clients that never retry. Prints the load generator's own summary; ends
 * with 1 when a request failed, resets included.
 */
import { fork } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { probationSchema } from '#shared/protocol/desired.js';
import { buildModule, type BuiltModule, enrolledFolder, removeFolder } from '#test/support/agent/agent-harness.js';
import { FakeCloud, until } from '#test/support/agent/fake-cloud.js';
import { SteadyLoad } from '#test/support/steady-load.js';

const usage = `npm run bench:switches -- [options]
  --switches 50   how often the version is replaced
  --clients 8     keep-alive connections that score without pause and without retry
  --probation 1   seconds for which each version is watched
  --help          this text
Example: npm run bench:switches -- --switches 10`;

const { values } = parseArgs({
  options: {
    switches: { type: 'string', default: '50' },
    clients: { type: 'string', default: '8' },
    probation: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const [switches, clients, windowSeconds] = [values.switches, values.clients, values.probation].map(Number);
if (!(switches && switches >= 1 && clients && clients >= 1 && windowSeconds !== undefined && windowSeconds >= 0)) {
  console.error(`bench:switches needs whole numbers\n\n${usage}`);
  process.exit(2);
}

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../../..');
const digits = join(root, 'modules/digits');
const patienceMs = 120_000;

const cloud = await FakeCloud.start();
const folder = await enrolledFolder(cloud);
const layout = join(folder, 'layout');
cloud.layouts.push(layout);
const { publisher } = cloud;
const second = { models: { digits: join(digits, 'model-v2.onnx') }, goldenFile: join(digits, 'golden-v2.json') };
const versions: readonly BuiltModule[] = [
  await buildModule({ moduleFolder: digits, layout, publisher }),
  await buildModule({ moduleFolder: digits, layout, publisher, version: 2, ...second }),
];
const flags = ['run', '--state-dir', folder, '--scoring-port', '0', '--log-level', 'silent'];
const agent = fork(join(root, 'dist/agent/cli/main.js'), flags, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
const ended = new Promise<void>((done) => agent.once('exit', () => done()));
let probations = 0;
try {
  await desire(1);
  const { port } = cloud.state.scoring ?? { port: 0 };
  const url = `http://127.0.0.1:${String(port)}/v2/models/digits/infer`;
  const load = new SteadyLoad(url, await readFile(join(digits, 'fixtures/digit.json')), clients);
  const started = performance.now();
  for (let number = 1; number <= switches; number++) {
    await desire(number + 1);
    if (number % 10 === 0) console.log(`${String(number)} switches, ${String(load.total)} requests so far`);
  }
  const seconds = (performance.now() - started) / 1000;
  const { answered, failed, versions: byVersion, failures } = await load.stop();
  const each = Object.entries(byVersion).map(([version, count]) => `version ${version}: ${String(count)}`);
  console.log(
    `${String(switches)} switches in ${seconds.toFixed(0)} s, ${String(probations)} of them seen on probation of ${String(windowSeconds)} s; ` +
      `${String(clients)} keep-alive connections, no retries`,
  );
  console.log(`${String(answered)} requests answered (${each.join(', ')}), ${String(failed)} failed, resets included`);
  for (const failure of failures) console.log(`  ${failure}`);
  if (failed > 0) process.exitCode = 1;
} finally {
  agent.kill('SIGTERM');
  await ended;
  await cloud.close();
  await removeFolder(folder);
}

/** The other version, and waits until the device has committed to it. */
async function desire(generation: number): Promise<void> {
  const built = versions[(generation - 1) % 2];
  if (built === undefined) return;
  // What is measured are requests that fail; how long they take on a busy machine is not to end it.
  const probation = probationSchema.parse({ windowSeconds, maxP99Ratio: 1000 });
  const update = { probation, keepVersions: 2, maxDeferSeconds: 0 };
  cloud.publishDesired(cloud.desiredOf(generation, { digits: { ...built.module, update } }));
  let seen = false;
  await until(
    `version of generation ${String(generation)}`,
    () => {
      const { converged, generation: reported, modules } = cloud.state;
      seen ||= modules['digits']?.candidate?.state === 'probation';
      if (modules['digits']?.candidate?.state === 'rejected') throw new Error(JSON.stringify(modules['digits']));
      return converged && reported === generation;
    },
    patienceMs,
  );
  if (seen) probations += 1;
}
