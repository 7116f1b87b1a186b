/** One host after another under gRPC load: a client with default settings, and none of its calls fails. */
import { afterEach, describe, expect, it } from 'vitest';
import type { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';
import { GrpcClient, type StreamAnswer } from '#test/support/grpc-client.js';
import { fixtures, hostedModule, Scoring } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterEach(() => scoring.end());

const raw = new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer);
const request = {
  model_name: 'add-one',
  inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4] }],
  raw_input_contents: [raw],
};

async function start(version: number, handle: ReturnType<Scoring['bind']>): Promise<ScoringHostProcess> {
  const host = scoring.spawn();
  const modules = [hostedModule(fixtures, 'add-one.onnx', { name: 'add-one', version })];
  const loaded = await host.load({ modules, labels: {}, maxBodyBytes: 1 << 20 });
  expect(loaded.ok).toBe(true);
  await host.listenGrpc(handle.handle);
  return host;
}

describe('a host that is replaced under gRPC load', () => {
  it('fails no call of a client with default settings, over six swaps', async () => {
    const handle = scoring.bind();
    let host = await start(1, handle);
    const failures: string[] = [];
    const versions = new Set<string>();
    let answered = 0;
    let stopped = false;
    const loop = async (client: GrpcClient, pauseMs: number): Promise<void> => {
      while (!stopped) {
        try {
          const { answer } = await client.infer(request);
          versions.add(answer.model_version);
          answered += 1;
        } catch (error) {
          failures.push(String(error).split('\n')[0] ?? '');
        }
        if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs * Math.random()));
      }
    };
    const clients = Array.from({ length: 3 }, () => new GrpcClient(`127.0.0.1:${String(handle.port)}`));
    const loops = clients.flatMap((client) => [loop(client, 0), loop(client, 20), loop(client, 60)]);
    for (let version = 2; version <= 7; version++) {
      const next = await start(version, handle);
      await host.drain(20_000);
      host = next;
    }
    stopped = true;
    await Promise.all(loops);
    for (const client of clients) client.close();
    expect(failures).toEqual([]);
    expect(versions.size).toBe(7);
    expect(answered).toBeGreaterThan(100);
  }, 120_000);

  it('answers what a stream has under way, and ends the stream with a word to open it again', async () => {
    const handle = scoring.bind();
    const host = await start(1, handle);
    const client = new GrpcClient(`127.0.0.1:${String(handle.port)}`);
    const stream = client.stream();
    const answers: StreamAnswer[] = [];
    stream.on('data', (answer: StreamAnswer) => answers.push(answer));
    const ended = new Promise<{ code: number; details: string }>((resolve) => {
      stream.once('status', resolve);
      stream.once('error', () => undefined);
    });
    for (let id = 0; id < 5; id++) stream.write({ ...request, id: String(id) });
    await expect.poll(() => answers.length).toBeGreaterThan(0);
    await host.drain(30_000);
    const { code, details } = await ended;
    expect(answers.map(({ infer_response }) => infer_response?.id)).toEqual(['0', '1', '2', '3', '4']);
    expect(code).toBe(14);
    expect(details).toContain('open it again');
    client.close();
  });
});
