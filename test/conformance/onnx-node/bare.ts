/** Verdicts of onnxruntime-node alone. A test that ends the process fails; the others go on in a new one. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repository } from '#test/support/scoring-harness.js';
import type { NodeCase, Verdict } from './cases.js';

const child = join(repository, 'dist/test/conformance/onnx-node/bare-child.js');

export async function runBare(folder: string, cases: readonly NodeCase[]): Promise<Map<string, Verdict>> {
  const verdicts = new Map<string, Verdict>();
  let left = cases.map(({ name }) => name);
  while (left.length > 0) {
    const { lines, ended } = await runChild(folder, left);
    for (const line of lines) verdicts.set(line.name, line);
    left = left.filter((name) => !verdicts.has(name));
    const [culprit, ...others] = left;
    if (culprit === undefined) break;
    verdicts.set(culprit, { name: culprit, failure: `the process ended: ${ended}` });
    left = others;
  }
  return verdicts;
}

async function runChild(
  folder: string,
  names: readonly string[],
): Promise<{ readonly lines: readonly Verdict[]; readonly ended: string }> {
  const list = join(folder, 'bare-list.json');
  await writeFile(list, JSON.stringify(names));
  const running = spawn(process.execPath, [child, folder, list], {
    env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const chunks: Buffer[] = [];
  running.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const [code, signal] = (await once(running, 'close')) as [number | null, string | null];
  const complete = Buffer.concat(chunks).toString('utf8').split('\n').slice(0, -1);
  return { lines: complete.map((line) => JSON.parse(line) as Verdict), ended: signal ?? `exit ${String(code)}` };
}
