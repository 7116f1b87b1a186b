import { afterEach, describe, expect, it } from 'vitest';
import { defaultScoringOptions } from '#shared/package/scoring-options.js';
import { Engine } from '#shared/scoring/engine/engine.js';
import type { Lane } from '#shared/scoring/engine/lane.js';
import type { Group, Runner } from '#shared/scoring/engine/runner.js';
import { Observed } from '#shared/scoring/engine/observed.js';
import { ModelStatistics } from '#shared/scoring/engine/statistics.js';
import type { GroupResult } from '#shared/scoring/worker/answer-group.js';

const engines: Engine[] = [];
afterEach(() => {
  for (const engine of engines.splice(0)) engine.close();
});

/** Answers at once, and says that each run took so long. */
class FakeRunner implements Runner {
  readonly limit = 2;
  readonly busy = 0;
  readonly busySinceMs = undefined;
  calls = 0;
  constructor(private readonly inferMs: number) {}

  run(group: Group): Promise<GroupResult> {
    this.calls += group.requests.length;
    const run = { rows: 1, computeInputNs: 0, computeInferNs: this.inferMs * 1e6, computeOutputNs: 0 };
    return Promise.resolve({
      answers: group.requests.map(() => ({ ok: true, response: { body: new Uint8Array(0) } })),
      runs: group.requests.map(() => run),
    });
  }
}

function engineWith(worker: Runner, more: { runMs?: number; inline?: Runner; openInline?: () => Promise<Runner> }) {
  const engine = new Engine({ cores: 2, monotonicMs: () => performance.now(), onStuck: () => undefined });
  engines.push(engine);
  const { runMs, inline, openInline } = more;
  const lane = engine.add({
    model: 'm',
    identity: { answerName: 'm', answerVersion: '1' },
    signature: { inputs: [], outputs: [] },
    traits: { maxBatchRows: 0, batchingReason: '', runMs },
    options: defaultScoringOptions,
    runners: [worker],
    inline,
    ...(openInline === undefined ? {} : { openInline }),
    statistics: new ModelStatistics(),
    observed: new Observed(),
  });
  return { engine, lane };
}

async function ask(engine: Engine, lane: Lane, times: number): Promise<void> {
  for (let count = 0; count < times; count++) {
    const body = { buffer: new ArrayBuffer(8), start: 0, length: 8 };
    await engine.submit(lane, { form: 'infer', body, jsonLength: undefined, abandoned: () => false });
  }
}

describe('a model that made-up inputs could not run', () => {
  it('comes to the thread that accepts requests once real ones show that it is tiny', async () => {
    const [worker, inline] = [new FakeRunner(0.05), new FakeRunner(0.05)];
    const { engine, lane } = engineWith(worker, { openInline: () => Promise.resolve(inline) });
    await ask(engine, lane, 100);
    expect(worker.calls).toBeLessThan(60);
    expect(worker.calls + inline.calls).toBe(100);
  });

  it('stays with its worker when it is not', async () => {
    const [worker, inline] = [new FakeRunner(3), new FakeRunner(3)];
    const { engine, lane } = engineWith(worker, { openInline: () => Promise.resolve(inline) });
    await ask(engine, lane, 100);
    expect(worker.calls).toBe(100);
  });
});

describe('a model that made-up inputs showed to be tiny', () => {
  it('leaves the thread that accepts requests when real ones take long', async () => {
    const [worker, inline] = [new FakeRunner(4), new FakeRunner(4)];
    const { engine, lane } = engineWith(worker, { runMs: 0.02, inline });
    await ask(engine, lane, 50);
    expect(inline.calls).toBe(16);
    expect(worker.calls + inline.calls).toBe(50);
  });

  it('stays there while they do not', async () => {
    const [worker, inline] = [new FakeRunner(0.03), new FakeRunner(0.03)];
    const { engine, lane } = engineWith(worker, { runMs: 0.02, inline });
    await ask(engine, lane, 50);
    expect(inline.calls).toBe(50);
  });
});
