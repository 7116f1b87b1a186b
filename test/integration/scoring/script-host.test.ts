import { statSync } from 'node:fs';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { encodeInferRequest } from '#shared/scoring/codec/infer-request.js';
import { readInferResponse } from '#shared/scoring/codec/infer-response.js';
import type { HostConfig, HostedModule, ScriptConfig } from '#shared/scoring/host-protocol.js';
import type { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';
import type { ScriptHostProcess } from '#shared/supervisor/script-host-process.js';
import { digitsFolder, hostedModule, post, Scoring } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterEach(() => scoring.end());

/** Names the digit and its certainty, over the module's model. */
const namesDigit = `
let words;
export async function init(settings, context) {
  words = settings.words;
  context.log.info('words are known');
}
export async function run(input, context) {
  if (input instanceof Uint8Array) return Uint8Array.from(input).reverse();
  if (input.fail) throw new Error('asked to fail');
  if (input.bad) throw Object.assign(new Error('no such digit'), { statusCode: 422 });
  if (input.die) { Promise.reject(new Error('nobody waits for this')); return 'dying'; }
  if (input.inputs) {
    const { label } = await context.models.digits.infer({ image: input.inputs[0] });
    return { outputs: [{ ...label, name: 'digit' }] };
  }
  const tensor = input.flat
    ? { datatype: 'FP32', shape: [1, 1, 8, 8], data: Float32Array.from(input.flat) }
    : input.image;
  const { label, probabilities } = await context.models.digits.infer({ image: tensor });
  return {
    word: words[Number(label.data[0])],
    best: Math.max(...probabilities.data),
    label: label.data,
    id: context.request.id,
    version: context.module.version,
  };
}
`;

const words = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];

interface Started {
  readonly url: string;
  readonly host: ScoringHostProcess;
  readonly script: ScriptHostProcess;
  readonly config: ScriptConfig;
  readonly socket: string;
  readonly module: HostedModule;
  readonly hostConfig: HostConfig;
  readonly flat: number[];
}

async function start(source: string): Promise<Started> {
  const folder = await scoring.folder();
  await copyFile(join(digitsFolder, 'model.onnx'), join(folder, 'model.onnx'));
  await copyFile(join(digitsFolder, 'golden.json'), join(folder, 'golden.json'));
  await writeFile(join(folder, 'score.mjs'), source);
  const module: HostedModule = hostedModule(folder, 'model.onnx', {
    name: 'words',
    version: 3,
    models: [{ name: 'digits', file: 'model.onnx' }],
    scriptSocket: join(folder, 'script.sock'),
    modelsSocket: join(folder, 'models.sock'),
    golden: { file: 'golden.json', tolerance: { absolute: 1e-4, relative: 1e-3 } },
  });
  const hostConfig: HostConfig = {
    modules: [module],
    labels: {},
    maxBodyBytes: 100_000,
  };
  const config: ScriptConfig = {
    name: 'words',
    version: 3,
    digest: module.digest,
    folder,
    entry: 'score.mjs',
    models: ['digits'],
    settings: { words },
    modelsSocket: join(folder, 'models.sock'),
    maxBodyBytes: 100_000,
  };
  const { host, url } = await scoring.serve(hostConfig.modules, hostConfig);
  const script = scoring.spawnScript('info');
  const socket = join(folder, 'script.sock');
  const started = await script.start(config, socket);
  if (!started.ok) throw new Error(started.error.message);
  const fixture = JSON.parse(await readFile(join(digitsFolder, 'fixtures/digit.json'), 'utf8')) as {
    inputs: { data: number[] }[];
  };
  return { url, host, script, socket, config, module, hostConfig, flat: fixture.inputs[0]?.data ?? [] };
}

describe('a module with user code', () => {
  it('answers /score by its script, which uses settings, models and request', async () => {
    const { url, flat, host } = await start(namesDigit);
    const answer = await post(`${url}/score`, { flat }, { 'x-request-id': 'r-7' });
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({
      word: 'three',
      best: expect.closeTo(0.967, 2) as number,
      label: [3],
      id: 'r-7',
      version: 3,
    });
    expect(answer.headers.get('flotilla-version')).toBe('3');
    const nested = [[Array.from({ length: 8 }, (_, row) => flat.slice(row * 8, row * 8 + 8))]];
    expect((await post(`${url}/score/words`, { image: nested })).json).toMatchObject({ word: 'three' });
    expect(scoring.lines.join()).toContain('words are known');
    expect((await host.stats()).modules.find(({ name }) => name === 'words')).toMatchObject({
      requests: 2,
      errors: {},
    });
  });

  it('answers every one of many small requests: no answer is lost to a connection that closes behind it', async () => {
    const { url } = await start('export const run = (input) => input;');
    const statuses = new Set<number>();
    for (let count = 0; count < 300; count++) statuses.add((await post(`${url}/score`, { count })).status);
    expect([...statuses]).toEqual([200]);
  });

  it('answers V2 requests by its script, in JSON and in binary', async () => {
    const { url, flat } = await start(namesDigit);
    const infer = `${url}/v2/models/words/infer`;
    const input = { name: 'image', shape: [1, 1, 8, 8], datatype: 'FP32' } as const;
    expect((await post(infer, { id: 'a', inputs: [{ ...input, data: flat }] })).json).toEqual({
      id: 'a',
      model_name: 'words',
      model_version: '3',
      outputs: [{ name: 'digit', datatype: 'INT64', shape: [1], data: [3] }],
    });
    const { body, jsonLength } = encodeInferRequest([{ ...input, data: Float32Array.from(flat) }]);
    const answer = await post(infer, body, { 'inference-header-content-length': String(jsonLength) });
    expect(readInferResponse(answer.bytes, Number(answer.headers.get('inference-header-content-length')))).toEqual([
      { name: 'digit', datatype: 'INT64', shape: [1], data: BigInt64Array.of(3n) },
    ]);
  });

  it('passes other bodies as bytes, both ways', async () => {
    const { url } = await start(namesDigit);
    const answer = await post(`${url}/score`, Uint8Array.of(1, 2, 3), { 'content-type': 'image/png' });
    expect([...answer.bytes]).toEqual([3, 2, 1]);
  });

  it('turns exceptions into messages, and goes on', async () => {
    const { url, host, flat } = await start(namesDigit);
    const failed = await post(`${url}/score`, { fail: true });
    expect([failed.status, failed.json]).toEqual([500, { message: 'asked to fail' }]);
    const v2 = await post(`${url}/v2/models/words/infer`, { inputs: [] });
    expect([v2.status, Object.keys(v2.json as object)]).toEqual([400, ['error']]);
    const bad = await post(`${url}/score`, { bad: true });
    expect([bad.status, bad.json]).toEqual([422, { message: 'no such digit' }]);
    const shape = await post(`${url}/score`, { image: [[[1]]] });
    expect([shape.status, shape.json]).toEqual([
      400,
      { message: 'input "image": the model expects FP32 [batch,1,8,8], got FP32 [1,1,1]' },
    ]);
    expect((await post(`${url}/score`, '{')).status).toBe(400);
    expect((await post(`${url}/score`, 'x'.repeat(100_001))).status).toBe(413);
    expect((await post(`${url}/score`, { flat })).status).toBe(200);
    expect((await host.stats()).modules.find(({ name }) => name === 'words')?.errors).toEqual({
      'score.failed': 1,
      'score.invalid-input': 4,
      'request.too-large': 1,
    });
  });

  it('ends on a rejection that nobody handles, is reported unreachable, and serves again once restarted', async () => {
    const { url, script, socket, config, flat } = await start(namesDigit);
    expect((await post(`${url}/score`, { die: true })).status).toBeLessThanOrEqual(500);
    expect(await script.exited).toMatchObject({
      code: 1,
      lastLines: [expect.anything(), expect.stringContaining('nobody waits for this')],
    });
    const down = await post(`${url}/score`, { flat });
    expect([down.status, down.json, down.headers.get('retry-after')]).toEqual([
      503,
      { message: 'the script of module "words" is not running: try again shortly' },
      '1',
    ]);
    const again = scoring.spawnScript();
    expect(await again.start(config, socket)).toEqual({ ok: true, value: undefined });
    expect((await post(`${url}/score`, { flat })).status).toBe(200);
  });

  it('reaches its models at their new place when the scoring host is replaced', async () => {
    const { url, host, script, module, hostConfig, config, flat } = await start(namesDigit);
    expect((await post(`${url}/score`, { flat })).status).toBe(200);
    const modelsSocket = `${config.modelsSocket}2`;
    const next = await scoring.serve([{ ...module, modelsSocket }], {
      ...hostConfig,
      modules: [{ ...module, modelsSocket }],
    });
    script.models(modelsSocket);
    await host.drain(20_000);
    expect((await post(`${next.url}/score`, { flat })).json).toMatchObject({ word: 'three' });
    expect(() => statSync(config.modelsSocket)).toThrowError(/ENOENT/);
    await script.drain(5000);
    expect(await script.exited).toMatchObject({ code: 0 });
  });

  it('opens its sockets to this user only', async () => {
    const { config, socket } = await start(namesDigit);
    for (const path of [socket, config.modelsSocket]) expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('proves golden vectors through its script', async () => {
    const through = await start(`
      export async function run(input, context) {
        const outputs = await context.models.digits.infer({ image: input.inputs[0] });
        return { outputs: Object.values(outputs) };
      }`);
    expect(await through.host.prove('words')).toMatchObject({ ok: true, value: { vectors: 4 } });
    const other = await start(namesDigit);
    expect(await other.host.prove('words')).toMatchObject({
      ok: false,
      error: {
        code: 'golden.mismatch',
        message: expect.stringContaining('output "probabilities" did not come') as string,
      },
    });
  });

  it.each([
    ['a syntax error', 'export function run( {', 'module.invalid', /score.mjs of module "words" does not load/],
    ['no run', 'export const x = 1;', 'module.invalid', /must export a function run/],
    [
      'an init that throws',
      'export function run() {} export function init() { throw new Error("no camera"); }',
      'score.failed',
      /init\(\) of module "words" failed: no camera/,
    ],
  ])('says why it does not start: %s', async (_, source, code, message) => {
    const folder = await scoring.folder();
    await writeFile(join(folder, 'score.mjs'), source);
    const script = scoring.spawnScript();
    const config: ScriptConfig = {
      name: 'words',
      version: 1,
      digest: 'sha256:0',
      folder,
      entry: 'score.mjs',
      models: [],
      settings: {},
      modelsSocket: join(folder, 'm.sock'),
      maxBodyBytes: 1000,
    };
    const started = await script.start(config, join(folder, 's.sock'));
    expect(started).toMatchObject({ ok: false, error: { code, message: expect.stringMatching(message) as string } });
  });
});
