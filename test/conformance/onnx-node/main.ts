/** `npm run conformance:onnx`: every node test of the ONNX standard, bare and through the host. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findOutsidePython } from '#test/support/outside-tool.js';
import { runBare } from './bare.js';
import { exportCases } from './cases.js';
import { compare, knownDifferences } from './report.js';
import { runThroughHost } from './through-host.js';

const python = findOutsidePython();
if (python === undefined) throw new Error('run test/support/outside/install first');
const folder = await mkdtemp(join(tmpdir(), 'flotilla-onnx-node-'));
try {
  const cases = await exportCases(python, folder);
  const bare = await runBare(folder, cases);
  const passed = cases.filter(({ name }) => bare.get(name)?.failure === undefined);
  const host = await runThroughHost(folder, passed);
  const { both, bareFails, known, defects, outdated } = compare(bare, host, await knownDifferences());
  if (process.argv.includes('--verbose')) {
    for (const { name, failure } of bareFails) console.log(`bare  ${name}: ${failure ?? ''}`);
  }
  for (const { name, failure } of known) console.log(`known ${name}: ${failure ?? ''}`);
  for (const { name, failure } of defects) console.log(`LOST  ${name}: ${failure ?? ''}`);
  for (const name of outdated) console.log(`known difference that is none any more: ${name}`);
  console.log(
    `${String(cases.length)} node tests: onnxruntime-node passes ${String(passed.length)}; of these ${String(both.length)} pass through the host, ${String(known.length)} differ and are known, ${String(defects.length)} are lost`,
  );
  process.exitCode = defects.length + outdated.length === 0 ? 0 : 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
