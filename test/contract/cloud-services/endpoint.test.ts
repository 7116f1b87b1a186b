/** An endpoint over a real scoring host: its document by programs that read such, and tensors as bytes. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Validator } from '@seriousme/openapi-schema-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BinaryTensor, ScoringClient } from '#cloud/client/index.js';
import type { FrontReplica } from '#cloud/services/front/front-table.js';
import { endpointDocument } from '#cloud/services/openapi/endpoint-document.js';
import type { Datatype } from '#shared/scoring/codec/tensor.js';
import type { Described } from '#shared/scoring/host/faces/openapi/model-schemas.js';
import { echoModules } from '#test/support/every-datatype.js';
import { deployment, FrontWorld, frontKey } from '#test/support/front-world.js';
import { outsidePython } from '#test/support/outside-tool.js';
import { repository, Scoring } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
let world: FrontWorld;
let client: ScoringClient;

beforeAll(async () => {
  world = await FrontWorld.open();
  const modules = await echoModules(await scoring.folder(), ['n', 2]);
  const served = [modules.filter(({ name }) => name === 'fp32'), modules];
  const hosts = await Promise.all(served.map((some) => scoring.serve(some)));
  const [one, all] = hosts.map(({ port }): FrontReplica => {
    return { id: `r${String(port)}`, address: { host: '127.0.0.1', port }, state: 'ready' };
  });
  if (one && all) world.apply([deployment('blue', [one]), deployment('green', [all])]);
  client = new ScoringClient({ url: world.url(''), key: frontKey });
});
afterAll(async () => {
  client.close();
  await world.end();
  await scoring.end();
});

const tensor = (name: string) => ({ name, datatype: 'FP32', shape: ['n', 2] }) as const;
const floats: Described = { inputs: [tensor('x')], outputs: [tensor('y')] };
const documentOf = (described: Described, auth: 'key' | 'none' = 'key'): object =>
  endpointDocument({
    ...{ name: 'fraud', auth, deployment: 'blue', model: 'fp32', version: 1, described },
    url: world.url(''),
  });

describe('the document of an endpoint', () => {
  it.each([
    ['a model', () => documentOf(floats)],
    ['a script', () => documentOf('script', 'none')],
  ])('is one of OpenAPI 3.1 for %s', async (_what, document) => {
    const validator = new Validator();
    expect(await validator.validate(document() as Record<string, unknown>)).toEqual({ valid: true });
    expect(validator.version).toBe('3.1');
    const broken = { ...document(), paths: { score: {} } };
    expect(await new Validator().validate(broken)).toMatchObject({ valid: false });
  });

  it('describes what the endpoint answers, as schemathesis finds out', { timeout: 60_000 }, async () => {
    const folder = await scoring.folder();
    await writeFile(join(folder, 'fraud.json'), JSON.stringify(documentOf(floats)));
    const config = join(repository, 'test/contract/cloud-services/schemathesis.toml');
    const said = await promisify(execFile)(
      outsidePython('schemathesis'),
      [
        ...['--config-file', config, 'run', 'fraud.json', '--url', world.url('')],
        ...['--header', `Authorization: Bearer ${frontKey}`, '--seed', '7', '--max-examples', '4'],
        // Operations do not lead from one to another.
        ...['--phases', 'examples,coverage,fuzzing'],
      ],
      { cwd: folder, env: { PATH: process.env['PATH'], PYTHONUTF8: '1' }, maxBuffer: 1e8 },
    ).then(
      () => '',
      (error: unknown) => (error as { stdout: string }).stdout,
    );
    expect(said).toBe('');
    expect((await client.infer('fp32', [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] }])).status).toBe(
      200,
    );
  });
});

const samples: { readonly [D in Datatype]: Extract<BinaryTensor, { datatype: D }>['data'] } = {
  BOOL: Uint8Array.of(0, 1),
  UINT8: Uint8Array.of(0, 255),
  UINT16: Uint16Array.of(0, 65_535),
  UINT32: Uint32Array.of(0, 4_294_967_295),
  UINT64: BigUint64Array.of(0n, 18_446_744_073_709_551_615n),
  INT8: Int8Array.of(-128, 127),
  INT16: Int16Array.of(-32_768, 32_767),
  INT32: Int32Array.of(-2_147_483_648, 2_147_483_647),
  INT64: BigInt64Array.of(-9_223_372_036_854_775_808n, 9_223_372_036_854_775_807n),
  FP16: Uint16Array.of(0x3c00, 0x7e00),
  FP32: Float32Array.of(0.1, Number.NaN),
  FP64: Float64Array.of(0.1, -Number.MAX_VALUE),
  BYTES: ['', 'zwölf'],
};

describe('tensors as bytes', () => {
  it.each(Object.entries(samples))('%s goes through an endpoint and back exactly', async (datatype, data) => {
    const x = { name: 'x', datatype, shape: [1, 2], data } as BinaryTensor;
    const { value, deployment: by } = await client.inferBinary(datatype.toLowerCase(), [x], {
      ...{ outputs: ['y'], deployment: 'green' },
    });
    expect(value.outputs).toEqual([{ ...x, name: 'y' }]);
    expect(by).toBe('green');
  });

  it('are refused before they are sent where array and datatype, or array and shape, are at odds', async () => {
    const data = Float32Array.of(1, 2);
    const wrong = { name: 'x', datatype: 'INT32', shape: [1, 2], data } as unknown as BinaryTensor;
    await expect(client.inferBinary('int32', [wrong])).rejects.toThrow('must be an array of kind Int32Array');
    const short: BinaryTensor = { name: 'x', datatype: 'FP32', shape: [2, 2], data };
    await expect(client.inferBinary('fp32', [short])).rejects.toMatchObject({ code: 'score.invalid-input' });
  });

  it('are refused where the answer is cut short, or is no such answer', async () => {
    for (const [type, body] of [
      ['{"outputs":[]}', '99'],
      ['{"outputs":[{}]}', undefined],
      ['<html>', undefined],
      ['{"outputs":[]}', '1e1'],
    ]) {
      const replica = await world.replica((request, response) => {
        request.resume();
        response.writeHead(200, body === undefined ? {} : { 'inference-header-content-length': body }).end(type);
      });
      world.apply([deployment('blue', [replica])]);
      const x: BinaryTensor = { name: 'x', datatype: 'FP32', shape: [1], data: Float32Array.of(1) };
      await expect(client.inferBinary('fp32', [x])).rejects.toMatchObject({ code: 'server.incompatible' });
    }
  });
});
