/** The gRPC face of a real scoring host, asked by a client that was built from our .proto files. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import { collectRuleSchema } from '#shared/protocol/collect.js';
import { PieceFolder } from '#shared/scoring/collect/piece-folder.js';
import { defaultScoringOptions } from '#shared/package/scoring-options.js';
import { writeBytesElements } from '#shared/scoring/codec/bytes-elements.js';
import type { Datatype } from '#shared/scoring/codec/tensor.js';
import { echoModules } from '#test/support/every-datatype.js';
import { failure, GrpcClient, type StreamAnswer } from '#test/support/grpc-client.js';
import { convolutionModel } from '#test/support/onnx-writer.js';
import { fixtures, hostedModule, repository, Scoring } from '#test/support/scoring-harness.js';

const status = {
  INVALID: 3,
  DEADLINE: 4,
  NOT_FOUND: 5,
  DENIED: 7,
  EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
};

const raw = (array: { buffer: ArrayBufferLike }): Uint8Array => new Uint8Array(array.buffer as ArrayBuffer);
const samples: Record<Exclude<Datatype, 'FP16'>, { contents: Record<string, unknown>; bytes: Uint8Array }> = {
  BOOL: { contents: { bool_contents: [true, false] }, bytes: Uint8Array.of(1, 0) },
  UINT8: { contents: { uint_contents: [0, 255] }, bytes: Uint8Array.of(0, 255) },
  UINT16: { contents: { uint_contents: [0, 65_535] }, bytes: raw(Uint16Array.of(0, 65_535)) },
  UINT32: { contents: { uint_contents: [1, 4_294_967_295] }, bytes: raw(Uint32Array.of(1, 4_294_967_295)) },
  UINT64: {
    contents: { uint64_contents: [1, '18446744073709551615'] },
    bytes: raw(BigUint64Array.of(1n, 2n ** 64n - 1n)),
  },
  INT8: { contents: { int_contents: [-128, 127] }, bytes: raw(Int8Array.of(-128, 127)) },
  INT16: { contents: { int_contents: [-32_768, 7] }, bytes: raw(Int16Array.of(-32_768, 7)) },
  INT32: { contents: { int_contents: [-2_147_483_648, 7] }, bytes: raw(Int32Array.of(-2_147_483_648, 7)) },
  INT64: { contents: { int64_contents: ['-9223372036854775808', 7] }, bytes: raw(BigInt64Array.of(-(2n ** 63n), 7n)) },
  FP32: { contents: { fp32_contents: [1.5, -0] }, bytes: raw(Float32Array.of(1.5, -0)) },
  FP64: { contents: { fp64_contents: [0.1, Number.NaN] }, bytes: raw(Float64Array.of(0.1, Number.NaN)) },
  BYTES: { contents: { bytes_contents: [Buffer.from('é'), Buffer.from('')] }, bytes: writeBytesElements(['é', '']) },
};

const x = { name: 'x', datatype: 'FP32', shape: [1, 4] };
const four = raw(Float32Array.of(1, 2, 3, 4));
const addOne = (more: object = {}): Record<string, unknown> => ({
  model_name: 'add-one',
  inputs: [x],
  raw_input_contents: [four],
  ...more,
});

describe('the gRPC face', () => {
  const scoring = new Scoring();
  let client: GrpcClient;
  let url: string;

  beforeAll(async () => {
    const modules = [
      hostedModule(fixtures, 'add-one.onnx', { name: 'add-one', version: 3 }),
      ...(await echoModules(await scoring.folder(), ['n'])),
    ];
    const served = await scoring.serveGrpc(modules, {
      controlToken: 'let-me',
      labels: { generation: '7' },
      maxBodyBytes: 1 << 20,
    });
    ({ url } = served);
    client = new GrpcClient(served.address);
  });
  afterAll(async () => {
    client.close();
    await scoring.end();
  });

  it.each(Object.entries(samples))('gives %s back as it came, raw and typed', async (datatype, { contents, bytes }) => {
    const input = { name: 'x', datatype, shape: [2] };
    const request = { model_name: datatype.toLowerCase(), id: 'a' };
    for (const form of [{ inputs: [input], raw_input_contents: [bytes] }, { inputs: [{ ...input, contents }] }]) {
      const { answer } = await client.infer({ ...request, ...form });
      expect(answer).toMatchObject({ model_name: request.model_name, model_version: '1', id: 'a' });
      expect(answer.outputs).toMatchObject([{ name: 'y', datatype, shape: ['2'] }]);
      expect(answer.raw_output_contents.map((output) => [...output])).toEqual([[...bytes]]);
    }
  });

  it('says on every answer what it came from, and keeps the request id', async () => {
    const metadata = { 'x-request-id': 'mine' };
    const { fields } = await client.infer(addOne(), { metadata });
    const expected = {
      'flotilla-model': 'add-one',
      'flotilla-version': '3',
      'flotilla-generation': '7',
      'x-request-id': 'mine',
    };
    expect(fields).toMatchObject(expected);
    const { metadata: failed } = await failure(client.infer(addOne({ inputs: [{ ...x, name: 'z' }] }), { metadata }));
    expect(failed.getMap()).toMatchObject(expected);
  });

  it('answers the outputs that were asked for, and the version', async () => {
    const { answer } = await client.infer(addOne({ model_version: '3', outputs: [{ name: 'y' }] }));
    expect(answer.outputs.map(({ name }) => name)).toEqual(['y']);
  });

  it('answers the largest values as classes where that is asked for', async () => {
    const outputs = [{ name: 'y', parameters: { classification: { int64_param: 2 } } }];
    const { answer } = await client.infer(addOne({ outputs }));
    expect(answer.outputs).toMatchObject([{ name: 'y', datatype: 'BYTES', shape: ['1', '2'] }]);
    expect(Buffer.concat(answer.raw_output_contents).toString()).toMatch(/5\.0+:3.+4\.0+:2/s);
  });

  it.each<[string, object, number, string]>([
    ['an unknown model', { model_name: 'nope' }, status.NOT_FOUND, 'no model "nope"'],
    ['an unknown version', { model_version: '9' }, status.NOT_FOUND, 'no version "9"'],
    ['an unknown input', { inputs: [{ ...x, name: 'z' }] }, status.INVALID, 'no input "z"'],
    ['an unknown output', { outputs: [{ name: 'z' }] }, status.INVALID, 'no output "z"'],
    ['a wrong datatype', { inputs: [{ ...x, datatype: 'FP64' }] }, status.INVALID, 'expects FP32'],
    ['no datatype', { inputs: [{ ...x, datatype: '' }] }, status.INVALID, 'datatype'],
    ['a wrong shape', { inputs: [{ ...x, shape: [1, 5] }] }, status.INVALID, 'expects FP32 [N,4]'],
    ['a huge shape', { inputs: [{ ...x, shape: ['4611686018427387904', 4] }] }, status.INVALID, 'shape'],
    ['a negative dimension', { inputs: [{ ...x, shape: [-1, 4] }] }, status.INVALID, 'shape'],
    ['too few raw bytes', { raw_input_contents: [four.subarray(1)] }, status.INVALID, '16 bytes'],
    ['more raw tensors than inputs', { raw_input_contents: [four, four] }, status.INVALID, 'has 2 tensors, inputs 1'],
    ['both kinds of contents', { inputs: [{ ...x, contents: { fp32_contents: [1] } }] }, status.INVALID, 'one of them'],
    ['no contents', { raw_input_contents: [] }, status.INVALID, 'has 4 elements'],
    [
      'contents of another type',
      { inputs: [{ ...x, contents: { int_contents: [1, 2, 3, 4] } }], raw_input_contents: [] },
      status.INVALID,
      'fp32_contents',
    ],
    ['an input twice', { inputs: [x, x], raw_input_contents: [four, four] }, status.INVALID, 'twice'],
    [
      'shared memory',
      { inputs: [{ ...x, parameters: { shared_memory_region: { string_param: 'r' } } }] },
      status.UNIMPLEMENTED,
      'shared memory',
    ],
    ['a timeout that is no number', { parameters: { timeout: { string_param: 'soon' } } }, status.INVALID, 'timeout'],
    [
      'a message over the limit',
      { raw_input_contents: [new Uint8Array(2 << 20)] },
      status.EXHAUSTED,
      'larger than max',
    ],
  ])('refuses %s', async (_what, more, code, details) => {
    const refused = await failure(client.infer(addOne(more)));
    expect(refused.details).toContain(details);
    expect(refused.code).toBe(code);
  });

  it('refuses integers that the datatype cannot hold', async () => {
    const inputs = [{ name: 'x', datatype: 'INT8', shape: [2], contents: { int_contents: [1, 128] } }];
    const refused = await failure(client.infer({ model_name: 'int8', inputs }));
    expect(refused).toMatchObject({ code: status.INVALID, details: expect.stringContaining('128') as string });
  });

  it('ends a call at its deadline', async () => {
    expect(await failure(client.infer(addOne(), { deadlineMs: -1 }))).toMatchObject({ code: status.DEADLINE });
  });

  it('answers a stream in order, a failed request with a message, and goes on', async () => {
    const stream = client.stream();
    const answers: StreamAnswer[] = [];
    const ended = new Promise((resolve, reject) => {
      stream
        .on('data', (answer: StreamAnswer) => answers.push(answer))
        .once('end', resolve)
        .once('error', reject);
    });
    for (let id = 0; id < 100; id++)
      stream.write(addOne({ id: String(id), ...(id === 50 ? { model_name: 'nope' } : {}) }));
    stream.end();
    await ended;
    expect(answers.map(({ infer_response }) => infer_response?.id)).toEqual(
      Array.from({ length: 100 }, (_, id) => String(id)),
    );
    expect(answers.flatMap(({ error_message }) => (error_message === '' ? [] : [error_message]))).toEqual([
      expect.stringContaining('no model "nope"'),
    ]);
  });

  it('counts its answers with those of HTTP', async () => {
    const statistics = async (): Promise<{ success: number; fail: number }> => {
      const { answer } = await client.call<{ model_stats: { inference_stats: Record<string, { count: string }> }[] }>(
        'ModelStatistics',
        { name: 'add-one' },
      );
      const { success, fail } = answer.model_stats[0]?.inference_stats ?? {};
      return { success: Number(success?.count), fail: Number(fail?.count) };
    };
    const before = await statistics();
    await client.infer(addOne());
    await failure(client.infer(addOne({ inputs: [{ ...x, name: 'z' }] })));
    const body = JSON.stringify({ inputs: [{ ...x, data: [1, 2, 3, 4] }] });
    await fetch(`${url}/v2/models/add-one/infer`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    expect(await statistics()).toEqual({ success: before.success + 2, fail: before.fail + 1 });
  });

  it('tells what it serves', async () => {
    expect((await client.call('ServerLive')).answer).toEqual({ live: true });
    expect((await client.call('ServerReady')).answer).toEqual({ ready: true });
    expect((await client.call('ServerMetadata')).answer).toMatchObject({ name: 'flotilla' });
    expect((await client.call('ModelReady', { name: 'add-one' })).answer).toEqual({ ready: true });
    expect((await client.call('ModelMetadata', { name: 'add-one' })).answer).toMatchObject({
      versions: ['3'],
      inputs: [{ name: 'x', datatype: 'FP32', shape: ['-1', '4'] }],
    });
    expect((await client.call('ModelConfig', { name: 'bytes' })).answer).toMatchObject({
      config: {
        name: 'bytes',
        backend: 'onnxruntime',
        max_batch_size: 0,
        input: [{ data_type: 'TYPE_STRING', dims: ['-1'] }],
      },
    });
    const health = { service: 'grpc.health.v1.Health' } as const;
    expect((await client.call('Check', {}, health)).answer).toEqual({ status: 'SERVING' });
    expect(await failure(client.call('Check', { service: 'nope' }, health))).toMatchObject({ code: status.NOT_FOUND });
  });

  it('loads and unloads for who has the control token, and no files of theirs', async () => {
    const request = { model_name: 'fp64' };
    const load = (authorization?: string, more: object = {}): Promise<unknown> =>
      client.call(
        'RepositoryModelLoad',
        { ...request, ...more },
        authorization === undefined ? {} : { metadata: { authorization } },
      );
    const unload = (authorization: string): Promise<unknown> =>
      client.call('RepositoryModelUnload', request, { metadata: { authorization } });
    expect(await failure(load())).toMatchObject({ code: status.UNAUTHENTICATED });
    expect(await failure(unload('Bearer let-him'))).toMatchObject({ code: status.UNAUTHENTICATED });
    expect((await client.call('ModelReady', { name: 'fp64' })).answer).toEqual({ ready: true });
    await unload('Bearer let-me');
    expect((await client.call('ModelReady', { name: 'fp64' })).answer).toEqual({ ready: false });
    const inputs = [{ name: 'x', datatype: 'FP64', shape: [0] }];
    expect(await failure(client.infer({ model_name: 'fp64', inputs }))).toMatchObject({ code: status.UNAVAILABLE });
    const { answer } = await client.call<{ models: { name: string; state: string }[] }>('RepositoryIndex');
    expect(answer.models.filter(({ state }) => state !== 'READY').map(({ name }) => name)).toEqual(['fp64']);
    const config = { parameters: { config: { string_param: '{}' } } };
    expect(await failure(load('Bearer let-me', config))).toMatchObject({ code: status.INVALID });
    await load('Bearer let-me');
    expect((await client.infer({ model_name: 'fp64', inputs })).answer.outputs).toMatchObject([{ shape: ['0'] }]);
  });
});

describe('a host without a control token', () => {
  it('lets nobody load or unload over gRPC', async () => {
    const scoring = new Scoring();
    const { address } = await scoring.serveGrpc([hostedModule(fixtures, 'add-one.onnx')]);
    const client = new GrpcClient(address);
    const refused = await failure(
      client.call(
        'RepositoryModelUnload',
        { model_name: 'model' },
        { metadata: { authorization: 'Bearer undefined' } },
      ),
    );
    expect(refused.code).toBe(status.DENIED);
    client.close();
    await scoring.end();
  });
});

describe('a call whose client gave up', () => {
  it('is not run once it waited in vain: it is dropped at its deadline and when it is cancelled', async () => {
    const scoring = new Scoring();
    const folder = await scoring.folder();
    await writeFile(
      join(folder, 'slow.onnx'),
      convolutionModel({ layers: 60, channels: 96, size: 192, halveEvery: 0 }),
    );
    const scoringOptions = { ...defaultScoringOptions, warmUp: { runs: 0 } };
    const slow = hostedModule(folder, 'slow.onnx', { name: 'slow', scoring: scoringOptions });
    const { address, host } = await scoring.serveGrpc([slow]);
    const client = new GrpcClient(address);
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 3, 192, 192] }];
    const request = { model_name: 'slow', inputs, raw_input_contents: [new Uint8Array(4 * 3 * 192 * 192)] };
    // One run takes some tenths of a second: the worker is busy for far longer than the others are waited for.
    const busy = Array.from({ length: 6 }, () => client.infer(request));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const expired = Array.from({ length: 4 }, () => failure(client.infer(request, { deadlineMs: 300 })));
    const cancelled = Array.from({ length: 4 }, () =>
      failure(client.infer(request, { onCall: (call) => setTimeout(() => call.cancel(), 300) })),
    );
    expect(new Set((await Promise.all(expired)).map(({ code }) => code))).toEqual(new Set([status.DEADLINE]));
    expect(new Set((await Promise.all(cancelled)).map(({ code }) => code))).toEqual(new Set([1]));
    await Promise.all(busy);
    await client.infer(request);
    const { modules } = await host.stats();
    const { errors = {} } = modules.find(({ name }) => name === 'slow') ?? {};
    // How a call without anyone waiting is counted depends on who noticed first.
    expect((errors['request.aborted'] ?? 0) + (errors['score.timeout'] ?? 0)).toBe(8);
    client.close();
    await scoring.end();
  });
});

describe('a module with user code', () => {
  it('answers gRPC by its script; what the script throws has its status', async () => {
    const scoring = new Scoring();
    const folder = await scoring.folder();
    const source = `export const run = ({ inputs, outputs, id }) => {
      if (id === 'bad') throw Object.assign(new Error('no such word'), { statusCode: 422 });
      if (id === 'fail') throw new Error('asked to fail');
      if (id === 'other') return 7;
      return { outputs: inputs.map((input) => ({ ...input, name: 'echo' })) };
    };`;
    await writeFile(join(folder, 'score.mjs'), source);
    const [socket, modelsSocket] = [join(folder, 's.sock'), join(folder, 'm.sock')];
    const module = hostedModule(folder, '-', { name: 'words', models: [], scriptSocket: socket, modelsSocket });
    const pieces = new PieceFolder(join(folder, 'collect'), systemClock);
    await pieces.prepare();
    const { maxBytes: _bound, ...rule } = collectRuleSchema.parse({ rate: 1 });
    const within = { source: '/s', maxLineBytes: 4096, maxPieceBytes: 4096, maxOpenMs: 1 };
    await pieces.writeRules({ schema: 1, modules: { words: { ...rule, ...within } } });
    const { address, host } = await scoring.serveGrpc([module], { collectFolder: pieces.path });
    const script = scoring.spawnScript();
    const { name, version, digest } = module;
    const limits = { settings: {}, models: [], maxBodyBytes: 1 << 20 };
    await script.start({ name, version, digest, folder, entry: 'score.mjs', modelsSocket, ...limits }, socket);
    const client = new GrpcClient(address);
    const inputs = [{ name: 'x', datatype: 'BYTES', shape: [1], contents: { bytes_contents: [Buffer.from('hé')] } }];
    const infer = (id: string) => client.infer({ model_name: 'words', id, inputs });
    const { answer, fields } = await infer('7');
    expect(answer).toMatchObject({
      model_name: 'words',
      id: '7',
      outputs: [{ name: 'echo', datatype: 'BYTES', shape: ['1'] }],
    });
    expect(answer.raw_output_contents.map(String)).toEqual(['\u0003\0\0\0hé']);
    expect(fields).toMatchObject({ 'flotilla-model': 'words' });
    expect(await failure(infer('bad'))).toMatchObject({ code: status.INVALID, details: 'no such word' });
    expect(await failure(infer('fail'))).toMatchObject({ code: 13, details: 'asked to fail' });
    expect(await failure(infer('other'))).toMatchObject({ code: 13 });
    await expect.poll(async () => (await pieces.finished()).map(({ collection }) => collection)).toHaveLength(2);
    const stats = await host.stats();
    expect(stats.modules.find(({ name }) => name === 'words')).toMatchObject({
      requests: 4,
      errors: { 'score.invalid-input': 1, 'score.failed': 2 },
    });
    client.close();
    await scoring.end();
  });
});

describe('a host that is asked for no gRPC', () => {
  it('does not load the library', async () => {
    const loaded = async (file: string): Promise<boolean> => {
      const program = `await import(${JSON.stringify(join(repository, 'dist/shared/scoring', file))});
        const { createRequire } = await import('node:module');
        const files = Object.keys(createRequire(import.meta.url).cache);
        console.log(files.some((file) => file.includes('grpc-js')));`;
      const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
      return stdout.trim() === 'true';
    };
    expect(await loaded('host/host-process.js')).toBe(false);
    expect(await loaded('grpc/grpc-front.js')).toBe(true);
  });
});
