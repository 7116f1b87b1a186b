import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { defaultScoringOptions, type ScoringOptions } from '#shared/package/scoring-options.js';
import { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';
import { convolutionModel } from '../../support/onnx-writer.js';
import { digits, fixtures, hostedModule, post, Scoring, scoringHostEntry } from '../../support/scoring-harness.js';

const scoring = new Scoring();
afterEach(() => scoring.end());

const options = (more: Partial<ScoringOptions>): ScoringOptions => ({ ...defaultScoringOptions, ...more });

interface ModelStats {
  readonly inference_count: number;
  readonly execution_count: number;
  readonly inference_stats: Readonly<Record<string, { readonly count: number }>>;
}

async function statsOf(url: string, model: string): Promise<ModelStats> {
  const response = await fetch(`${url}/v2/models/${model}/stats`);
  const { model_stats: stats } = (await response.json()) as { model_stats: ModelStats[] };
  const [first] = stats;
  if (!first) throw new Error('no statistics');
  return first;
}

const mlp = (value: number): object => ({
  inputs: [{ name: 'x', shape: [1, 64], datatype: 'FP32', data: Array.from({ length: 64 }, () => value) }],
});

/** One run of it takes some tens of milliseconds. */
async function slowModel(): Promise<{ folder: string; request: object }> {
  const folder = await scoring.folder();
  await writeFile(join(folder, 'slow.onnx'), convolutionModel({ layers: 12, channels: 48, size: 48, halveEvery: 0 }));
  const data = Array.from({ length: 3 * 48 * 48 }, () => 0.5);
  return { folder, request: { inputs: [{ name: 'x', shape: [1, 3, 48, 48], datatype: 'FP32', data }] } };
}

describe('many requests at once for a tiny model', () => {
  it('run together in fewer runs, each with its own answer', async () => {
    const { url } = await scoring.serve([hostedModule(fixtures, 'mlp-64.onnx', { name: 'mlp' })]);
    const alone = await Promise.all(
      Array.from({ length: 4 }, async (_, value) =>
        JSON.stringify((await post(`${url}/v2/models/mlp/infer`, mlp(value))).json),
      ),
    );
    expect(new Set(alone).size).toBe(4);
    const before = await statsOf(url, 'mlp');
    const answers = await Promise.all(
      Array.from({ length: 400 }, async (_, index) => (await post(`${url}/v2/models/mlp/infer`, mlp(index % 4))).json),
    );
    answers.forEach((answer, index) => {
      const expected = JSON.parse(alone[index % 4] ?? '') as { outputs: { data: number[] }[] };
      const got = answer as { outputs: { data: number[] }[] };
      got.outputs[0]?.data.forEach((value, at) => {
        expect(value).toBeCloseTo(expected.outputs[0]?.data[at] ?? Number.NaN, 4);
      });
    });
    const after = await statsOf(url, 'mlp');
    expect(after.inference_count - before.inference_count).toBe(400);
    expect(after.execution_count - before.execution_count).toBeLessThan(400);
  });
});

describe('a request with a deadline', () => {
  it('behind others ends with a timeout in the queue, and never runs', async () => {
    const { folder, request } = await slowModel();
    const { url } = await scoring.serve([hostedModule(folder, 'slow.onnx', { name: 'slow' })]);
    const infer = `${url}/v2/models/slow/infer`;
    const ahead = Array.from({ length: 12 }, () => post(infer, request));
    await new Promise((resolve) => setTimeout(resolve, 30));
    const late = await post(infer, request, { 'flotilla-timeout-ms': '1' });
    expect(late.status).toBe(503);
    expect(JSON.stringify(late.json)).toMatch(/longer than its timeout/);
    expect((await Promise.all(ahead)).map(({ status }) => status)).toEqual(ahead.map(() => 200));
    expect((await statsOf(url, 'slow')).execution_count).toBe(12);
  });

  it('of the module, where it names none itself', async () => {
    const { folder, request } = await slowModel();
    const queue = { ...defaultScoringOptions.queue, timeoutMs: 1 };
    const { url } = await scoring.serve([
      hostedModule(folder, 'slow.onnx', { name: 'slow', scoring: options({ queue }) }),
    ]);
    const answers = await Promise.all(Array.from({ length: 12 }, () => post(`${url}/v2/models/slow/infer`, request)));
    const statuses = answers.map(({ status }) => status);
    expect(statuses).toContain(200);
    expect(statuses).toContain(503);
  });
});

describe('a request of high priority', () => {
  it('is answered before those that waited longer', async () => {
    const { folder, request } = await slowModel();
    const { url } = await scoring.serve([hostedModule(folder, 'slow.onnx', { name: 'slow' })]);
    const order: string[] = [];
    const ask = async (name: string, headers: Record<string, string> = {}): Promise<void> => {
      expect((await post(`${url}/v2/models/slow/infer`, request, headers)).status).toBe(200);
      order.push(name);
    };
    const usual = Array.from({ length: 40 }, () => ask('usual'));
    await new Promise((resolve) => setTimeout(resolve, 30));
    await Promise.all([...usual, ask('urgent', { 'flotilla-priority': '1' })]);
    expect(order.indexOf('urgent')).toBeLessThan(35);
  });
});

describe('a model of the same host', () => {
  it('is not starved by another with more workers and more callers', async () => {
    const { folder, request } = await slowModel();
    const { url } = await scoring.serve([
      hostedModule(folder, 'slow.onnx', { name: 'greedy', instances: 4 }),
      hostedModule(folder, 'slow.onnx', { name: 'modest' }),
    ]);
    let greedyAnswers = 0;
    const greedy = Array.from({ length: 80 }, async () => {
      await post(`${url}/v2/models/greedy/infer`, request);
      greedyAnswers += 1;
    });
    await new Promise((resolve) => setTimeout(resolve, 30));
    for (let count = 0; count < 8; count++)
      expect((await post(`${url}/v2/models/modest/infer`, request)).status).toBe(200);
    // One at a time against eighty at once: it had its turn long before all of those were through.
    expect(greedyAnswers).toBeLessThan(80);
    await Promise.all(greedy);
  });
});

describe('a run that does not end', () => {
  it('costs the process, which says which model it was', async () => {
    const folder = await scoring.folder();
    await writeFile(
      join(folder, 'huge.onnx'),
      convolutionModel({ layers: 200, channels: 64, size: 256, halveEvery: 0 }),
    );
    const session = { ...defaultScoringOptions.session, maxRunMs: 1000 };
    const warmUp = { runs: 0 };
    const host = scoring.spawn('fatal');
    const module = hostedModule(folder, 'huge.onnx', { name: 'huge', scoring: options({ session, warmUp }) });
    await host.load({ modules: [module], labels: {}, maxBodyBytes: 8 * 1024 * 1024 });
    const { handle, port } = scoring.bind();
    await host.listen(handle);
    const url = `http://127.0.0.1:${String(port)}`;
    const elements = 3 * 256 * 256;
    const head = new TextEncoder().encode(
      JSON.stringify({
        inputs: [
          { name: 'x', shape: [1, 3, 256, 256], datatype: 'FP32', parameters: { binary_data_size: 4 * elements } },
        ],
      }),
    );
    const body = new Uint8Array(head.length + 4 * elements);
    body.set(head);
    const request = post(`${url}/v2/models/huge/infer`, body, {
      'inference-header-content-length': String(head.length),
    });
    await expect(request).rejects.toThrow();
    const cause = await host.exited;
    expect(cause.signal).toBe('SIGKILL');
    expect(scoring.lines.join('\n')).toMatch(/a run of \\?"huge\\?" takes longer/);
  });

  it('on the loop itself is noticed by the owner, which kills the process', async () => {
    const host = ScoringHostProcess.spawn({
      entry: scoringHostEntry,
      onLog: () => undefined,
      liveness: { everyMs: 100, silenceMs: 5000 },
    });
    const loaded = await host.load({ modules: [digits], labels: {}, maxBodyBytes: 1024 * 1024 });
    expect(loaded.ok).toBe(true);
    process.kill(host.pid, 'SIGSTOP');
    const cause = await host.exited;
    expect(cause.signal).toBe('SIGKILL');
    expect(cause.kind).toBe('silent');
  });
});
