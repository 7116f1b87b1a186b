/** Triton's own client, from its package and unmodified, over gRPC. The checks are in `tritonclient.py`. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CheckResult, runChecks } from '#test/support/outside-checks.js';
import { hasOutsidePython, outsidePython } from '#test/support/outside-tool.js';
import { repository, Scoring } from '#test/support/scoring-harness.js';
import { echoed, generalChecks, writeTritonModels } from './tritonclient-models.js';

const scoring = new Scoring();
afterAll(() => scoring.end());

const controlToken = 'a-token-of-the-test';

describe.skipIf(!hasOutsidePython())('tritonclient.grpc', () => {
  let results: CheckResult[] = [];
  beforeAll(async () => {
    const modules = await writeTritonModels(await scoring.folder());
    const { address } = await scoring.serveGrpc(modules, { controlToken });
    const program = join(repository, 'test/contract/scoring/tritonclient.py');
    results = await runChecks(outsidePython(), program, ['grpc', address, controlToken, echoed.join(',')]);
  });

  const checks = [...echoed.map((datatype) => `${datatype} in binary`), ...generalChecks];

  it.each(checks)('%s', (name) => {
    expect(results.find((result) => result.name === name)).toEqual({ name });
  });

  it('has no check that nobody looks at', () => {
    expect(results.map(({ name }) => name).sort()).toEqual([...checks].sort());
  });
});
