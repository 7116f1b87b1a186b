/** Triton's own client, from its package and unmodified, over HTTP. The checks are in `tritonclient.py`. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CheckResult, runChecks } from '#test/support/outside-checks.js';
import { hasOutsidePython, outsidePython } from '#test/support/outside-tool.js';
import { repository, Scoring } from '#test/support/scoring-harness.js';
import { echoed, writeTritonModels } from './tritonclient-models.js';

const scoring = new Scoring();
afterAll(() => scoring.end());

const controlToken = 'a-token-of-the-test';

describe.skipIf(!hasOutsidePython())('tritonclient.http', () => {
  let results: CheckResult[] = [];
  beforeAll(async () => {
    const modules = await writeTritonModels(await scoring.folder());
    const { port } = await scoring.serve(modules, { controlToken });
    const program = join(repository, 'test/contract/scoring/tritonclient.py');
    const args = ['http', `127.0.0.1:${String(port)}`, controlToken, echoed.join(',')];
    results = await runChecks(outsidePython(), program, args);
  });

  const checks = [
    ...echoed.map((datatype) => `${datatype} in binary`),
    ...echoed.filter((datatype) => datatype !== 'FP16').map((datatype) => `${datatype} in JSON`),
    'liveness and readiness',
    'server metadata',
    'model metadata, of all versions and of one',
    "sum and difference, as the client's examples ask for them",
    'one output in binary, one in JSON',
    'only the outputs that were asked for',
    "the request's id comes back",
    'the version asked for answers, the newest where none is',
    'priority, timeout and own parameters do no harm',
    'a row batch of any size',
    'a tensor without elements',
    'many requests at once, each with its own answer',
    'a wrong model, version, input, output, type or shape is refused with a word',
    'statistics, of one model and of all',
    "the repository's index",
    'unload and load, by who may',
    'load and unload are refused to others, and for models that are not there',
    'compressed requests are served or refused, never misread',
    'answers that may be compressed can be read',
    "query parameters and headers of the caller's own do no harm",
    'what is not served is refused as the protocol says',
  ];

  it.each(checks)('%s', (name) => {
    expect(results.find((result) => result.name === name)).toEqual({ name });
  });

  it('has no check that nobody looks at', () => {
    expect(results.map(({ name }) => name).sort()).toEqual([...checks].sort());
  });
});
