/** An unmodified tritonclient, from PyPI, against a real scoring host. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';
import { identityModel } from '#test/support/onnx-writer.js';
import { fixtures, hostedModule, repository, Scoring } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterAll(() => scoring.end());

/** Made by test/support/outside/install, from its requirements.txt. */
const python = join(process.env['FLOTILLA_OUTSIDE_VENV'] ?? join(repository, '.cache/outside-venv'), 'bin/python');

/** Element types as ONNX numbers them; what Node's own float16 arrays keep the binding from is left out. */
const types = {
  BOOL: 9,
  UINT8: 2,
  UINT16: 4,
  UINT32: 12,
  UINT64: 13,
  INT8: 3,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  FP32: 1,
  FP64: 11,
  BYTES: 8,
};
const halves = Reflect.get(globalThis, 'Float16Array') === undefined ? { FP16: 10 } : {};

it('serves tritonclient: every datatype, async, stream, statistics, load and unload', async ({ skip }) => {
  if (!existsSync(python)) {
    const missing = `${python} is not there: test/support/outside/install makes it`;
    if (process.env['CI']) throw new Error(missing);
    skip(missing);
  }
  const folder = await scoring.folder();
  const modules = [hostedModule(fixtures, 'add-one.onnx', { name: 'add-one' })];
  for (const [datatype, type] of Object.entries({ ...types, ...halves })) {
    await writeFile(join(folder, `${datatype}.onnx`), identityModel(type, ['rows', 'columns']));
    modules.push(hostedModule(folder, `${datatype}.onnx`, { name: datatype.toLowerCase() }));
  }
  const { address } = await scoring.serveGrpc(modules, { controlToken: 'let-me' });
  const script = join(repository, 'test/support/outside/grpc_client.py');
  const { stdout } = await promisify(execFile)(python, [script, address, 'let-me'], { timeout: 50_000 });
  expect(stdout.trim().split('\n')).toEqual([
    'health and metadata',
    ...Object.keys({
      BOOL: 0,
      UINT8: 0,
      UINT16: 0,
      UINT32: 0,
      UINT64: 0,
      INT8: 0,
      INT16: 0,
      INT32: 0,
      INT64: 0,
      ...halves,
      FP32: 0,
      FP64: 0,
      BYTES: 0,
    }).map((datatype) => `infer ${datatype}`),
    'compressed, with priority and timeout',
    'async',
    'stream',
    'statistics',
    'refusals',
    'load and unload',
  ]);
});
