/** What a host keeps of its answers: in memory for equal requests, and on disk for later. */
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { scoringOptionsSchema } from '#shared/package/scoring-options.js';
import { encodeInferRequest } from '#shared/scoring/codec/infer-request.js';
import type { HostedModule, ScriptConfig } from '#shared/scoring/host-protocol.js';
import type { HostTraffic } from '#shared/scoring/traffic/traffic-schema.js';
import type { ScriptHostProcess } from '#shared/supervisor/script-host-process.js';
import { digits, digitsFolder, post, Scoring } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterEach(() => scoring.end());

const digit = await readFile(join(digitsFolder, 'fixtures/digit.json'), 'utf8');
const { inputs } = JSON.parse(digit) as { inputs: { data: number[] }[] };
const json = { 'content-type': 'application/json' };
const second = {
  ...digits,
  version: 2,
  digest: `sha256:${'2'.repeat(64)}`,
  models: [{ name: 'digits', file: 'model-v2.onnx' }],
};

describe('a module with a cache', () => {
  const cached: HostedModule = { ...digits, scoring: scoringOptionsSchema.parse({ cache: { maxBytes: 100_000 } }) };

  it('answers equal requests from it, each with its own id, and says so', async () => {
    const { url } = await scoring.serve([cached]);
    const infer = `${url}/v2/models/digits/infer`;
    const first = await post(infer, digit, json);
    const again = await post(infer, digit, { ...json, 'x-request-id': 'again' });
    expect([first, again].map(({ headers }) => headers.get('flotilla-cache'))).toEqual(['miss', 'hit']);
    expect(again.json).toEqual(first.json);
    expect(again.headers.get('x-request-id')).toBe('again');
    expect(again.headers.get('flotilla-digest')).toBe(digits.digest);

    const ids = [];
    for (const id of ['a', 'b']) ids.push(await post(infer, { id, inputs }));
    expect(ids.map(({ headers }) => headers.get('flotilla-cache'))).toEqual(['miss', 'hit']);
    expect(ids.map(({ json: body }) => (body as { id: string }).id)).toEqual(['a', 'b']);

    const image = {
      name: 'image',
      shape: [1, 1, 8, 8],
      datatype: 'FP32',
      data: Float32Array.from(inputs[0]?.data ?? []),
    };
    const { body, jsonLength } = encodeInferRequest([{ ...image, datatype: 'FP32' }], { id: 'x' });
    const header = { 'inference-header-content-length': String(jsonLength) };
    const [miss, hit] = [await post(infer, body, header), await post(infer, body, header)];
    expect([miss, hit].map(({ headers }) => headers.get('flotilla-cache'))).toEqual(['miss', 'hit']);
    expect(hit.bytes).toEqual(miss.bytes);
    expect(hit.headers.get('inference-header-content-length')).toBe(
      miss.headers.get('inference-header-content-length'),
    );
  });

  it('keeps no failure, and nothing of another version', async () => {
    const newer = { ...second, scoring: scoringOptionsSchema.parse({ cache: { maxBytes: 100_000 } }) };
    const { host, url } = await scoring.serve([cached, newer]);
    const infer = `${url}/v2/models/digits/infer`;
    for (const _ of [1, 2]) expect((await post(infer, { inputs: [] })).headers.get('flotilla-cache')).toBeNull();
    const [two] = [await post(infer, digit, json), await post(infer, digit, json)];
    await host.traffic({ digits: { weights: { '1': 1 } } });
    const one = await post(infer, digit, json);
    expect(one.headers.get('flotilla-cache')).toBe('miss');
    expect(one.json).toMatchObject({ model_version: '1' });
    expect(one.json).not.toEqual({ ...(two.json as object), model_version: '1' });
  });

  it('is none where it is not asked for', async () => {
    const { url } = await scoring.serve([digits]);
    expect((await post(`${url}/v2/models/digits/infer`, digit, json)).headers.get('flotilla-cache')).toBeNull();
  });
});

interface Event {
  readonly type: string;
  readonly correlationid: string;
  readonly data: readonly { readonly name: string; readonly shape: number[]; readonly data: unknown }[];
}

async function eventsIn(folder: string): Promise<{ path: string; event: Event }[]> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.jsonl'));
  const events = [];
  for (const path of names.sort()) {
    for (const line of (await readFile(join(folder, path), 'utf8')).trimEnd().split('\n')) {
      events.push({ path, event: JSON.parse(line) as Event });
    }
  }
  return events;
}

const capturing = (more: object): HostedModule => ({
  ...digits,
  scoring: scoringOptionsSchema.parse({ capture: { rate: 1, ...more } }),
});

describe('a module whose requests are captured', () => {
  it('has inputs and outputs in hourly files that only the owner reads, without what is redacted', async () => {
    const captureFolder = await scoring.folder();
    const { host, url } = await scoring.serve([capturing({ redact: ['image'] })], { captureFolder });
    await post(`${url}/v2/models/digits/infer`, digit, { ...json, 'x-request-id': 'r-1' });
    await post(`${url}/score`, digit, { ...json, 'x-request-id': 'r-2' });
    expect((await post(`${url}/score`, '{', json)).status).toBe(400);
    await host.drain(20_000);
    const events = await eventsIn(captureFolder);
    expect(events.map(({ event }) => [event.type, event.correlationid])).toEqual([
      ['azureml.inference.inputs', 'r-1'],
      ['azureml.inference.inputs', 'r-2'],
      ['azureml.inference.outputs', 'r-1'],
      ['azureml.inference.outputs', 'r-2'],
    ]);
    for (const { path } of events) {
      expect(path).toMatch(/^digits\/1\/model_(?:inputs|outputs)\/\d{4}\/\d\d\/\d\d\/\d\d\/[0-9a-f-]{36}\.jsonl$/);
      expect((await stat(join(captureFolder, path))).mode & 0o777).toBe(0o600);
    }
    expect(events[0]?.event.data).toEqual([
      { name: 'image', datatype: 'FP32', shape: [1, 1, 8, 8], data: '[redacted]' },
    ]);
    const label = events[2]?.event.data.find(({ name }) => name === 'label');
    expect(label).toEqual({ name: 'label', datatype: 'INT64', shape: [1], data: [3] });
  });

  it('answers all the same when nothing can be written', async () => {
    const folder = await scoring.folder();
    await writeFile(join(folder, 'a-file'), '');
    const { url } = await scoring.serve([capturing({})], { captureFolder: join(folder, 'a-file') });
    for (let request = 0; request < 5; request++) {
      expect((await post(`${url}/score`, digit, json)).status).toBe(200);
    }
  });

  it('is not captured where its owner gives no folder', async () => {
    const { url } = await scoring.serve([capturing({})]);
    expect((await post(`${url}/score`, digit, json)).status).toBe(200);
  });
});

/** Two versions of a module with user code, each with a model of its own, in one host and two script hosts. */
async function serveScripts(source: (version: number) => string, traffic: HostTraffic) {
  const folder = await scoring.folder();
  const versions = [digits, second].map((module) => {
    const { version } = module;
    const [scriptSocket, modelsSocket] = [join(folder, `${String(version)}.s`), join(folder, `${String(version)}.m`)];
    return { ...module, name: 'words', models: module.models, scriptSocket, modelsSocket };
  });
  const { url } = await scoring.serve(versions, { traffic });
  const scripts: ScriptHostProcess[] = [];
  for (const { name, version, digest, scriptSocket, modelsSocket } of versions) {
    const entry = `score-${String(version)}.mjs`;
    await writeFile(join(folder, entry), source(version));
    const common = { name, version, digest, folder, entry, models: ['digits'], settings: {}, maxBodyBytes: 100_000 };
    const config: ScriptConfig = { ...common, modelsSocket };
    const script = scoring.spawnScript();
    scripts.push(script);
    expect((await script.start(config, scriptSocket)).ok).toBe(true);
  }
  return { url, scripts };
}

describe('two versions of a module with user code', () => {
  it('each run their own models', async () => {
    const source = (): string => `export async function run(input, context) {
      const image = { datatype: 'FP32', shape: [1, 1, 8, 8], data: Float32Array.from(input.flat) };
      const { probabilities } = await context.models.digits.infer({ image });
      return { best: Math.max(...probabilities.data) };
    }`;
    const { url } = await serveScripts(source, {});
    const flat = inputs[0]?.data ?? [];
    const best = [];
    for (const version of ['1', '2']) {
      const answer = await post(`${url}/score`, { flat }, { 'flotilla-version': version });
      best.push((answer.json as { best: number }).best);
    }
    expect(best[0]).toBeCloseTo(0.967, 2);
    expect(best[1]).not.toBe(best[0]);
  });

  it('are compared on what the script was asked, streamed bodies included', async () => {
    const { url } = await serveScripts(
      (version) => `export const run = (input) => ({ y: input.x * ${String(version)} });`,
      {
        words: { weights: { '1': 1 }, shadow: { version: 2, rate: 1 } },
      },
    );
    const report = async (): Promise<unknown> => (await fetch(`${url}/v2/models/words/shadow`)).json();
    expect((await post(`${url}/score`, { x: 0 })).json).toEqual({ y: 0 });
    await expect.poll(report, { timeout: 20_000 }).toMatchObject({ compared: 1, agreed: 1 });
    expect((await post(`${url}/score`, { x: 3 })).json).toEqual({ y: 3 });
    await expect.poll(report, { timeout: 20_000 }).toMatchObject({ compared: 2, agreed: 1, disagreed: 1 });
    const chunked = new ReadableStream<Uint8Array>({
      start: (controller) => {
        for (const part of ['{"x"', ':0}']) controller.enqueue(new TextEncoder().encode(part));
        controller.close();
      },
    });
    const init = { method: 'POST', body: chunked, duplex: 'half', headers: json } as RequestInit;
    expect(await (await fetch(`${url}/score`, init)).json()).toEqual({ y: 0 });
    await expect.poll(report, { timeout: 20_000 }).toMatchObject({ compared: 3, agreed: 2, liveErrors: 0 });
  });

  it('of which the shadow never answers, and then is killed, fail no live request', async () => {
    const hangs = 'export const run = () => new Promise(() => undefined);';
    const { url, scripts } = await serveScripts((version) => (version === 2 ? hangs : 'export const run = (x) => x;'), {
      words: { weights: { '1': 1 }, shadow: { version: 2, rate: 1, maxWaiting: 3 } },
    });
    const report = async (): Promise<unknown> => (await fetch(`${url}/v2/models/words/shadow`)).json();
    for (let x = 0; x < 20; x++) expect((await post(`${url}/score`, { x })).json).toEqual({ x });
    // One is under way for ever, two wait behind it, and no other was copied.
    expect(await report()).toMatchObject({ compared: 0, shadowErrors: 0, dropped: 17 });
    await scripts[1]?.kill();
    await expect.poll(report, { timeout: 20_000 }).toMatchObject({ compared: 0, shadowErrors: 3, dropped: 17 });
    expect((await post(`${url}/score`, { x: 1 })).status).toBe(200);
  });
});
