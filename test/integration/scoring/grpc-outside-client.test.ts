/** An unmodified tritonclient, from PyPI, against a real scoring host. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';
import { datatypes } from '#shared/scoring/codec/tensor.js';
import { echoModules } from '#test/support/every-datatype.js';
import { outsidePython } from '#test/support/outside-tool.js';
import { fixtures, hostedModule, repository, Scoring } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterAll(() => scoring.end());

it('serves tritonclient: every datatype, async, stream, statistics, load and unload', async () => {
  const python = outsidePython();
  const modules = [
    hostedModule(fixtures, 'add-one.onnx', { name: 'add-one' }),
    ...(await echoModules(await scoring.folder(), ['rows', 'columns'])),
  ];
  const { address } = await scoring.serveGrpc(modules, { controlToken: 'let-me' });
  const script = join(repository, 'test/support/outside/grpc_client.py');
  const { stdout } = await promisify(execFile)(python, [script, address, 'let-me'], { timeout: 50_000 });
  expect(stdout.trim().split('\n')).toEqual([
    'health and metadata',
    ...datatypes.map((datatype) => `infer ${datatype}`),
    'compressed, with priority and timeout',
    'async',
    'stream',
    'statistics',
    'refusals',
    'load and unload',
  ]);
});
