import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningAgent } from '#agent/main.js';
import { buildModule, type BuiltModule, enrolledFolder, removeFolder, run } from '#test/support/agent/agent-harness.js';
import { FakeCloud, until } from '#test/support/agent/fake-cloud.js';
import { GrpcClient } from '#test/support/grpc-client.js';

const digits = resolve(dirname(fileURLToPath(import.meta.url)), '../../../modules/digits');

/** One device's life, told in order: each test goes on where the one before ended. */
describe('a device that gets the digits module', () => {
  let cloud: FakeCloud;
  let folder: string;
  let agent: RunningAgent;
  let first: BuiltModule;
  let second: BuiltModule;
  let input: unknown;
  let grpc: GrpcClient;
  const answered = { requests: 0, failed: [] as string[] };

  beforeAll(async () => {
    cloud = await FakeCloud.start();
    folder = await enrolledFolder(cloud);
    const layout = join(folder, 'layout');
    cloud.layouts.push(layout);
    first = await buildModule({ moduleFolder: digits, layout, publisher: cloud.publisher });
    second = await buildModule({
      moduleFolder: digits,
      layout,
      publisher: cloud.publisher,
      version: 2,
      models: { digits: join(digits, 'model-v2.onnx') },
      goldenFile: join(digits, 'golden-v2.json'),
    });
    input = JSON.parse(await readFile(join(digits, 'fixtures/digit.json'), 'utf8'));
    agent = await run(folder, { 'grpc.port': '0' });
    grpc = new GrpcClient(`127.0.0.1:${String(agent.grpc?.port)}`);
  });

  afterAll(async () => {
    grpc.close();
    await agent.stop();
    await cloud.close();
    await removeFolder(folder);
  });

  const score = (): Promise<Response> =>
    fetch(`http://127.0.0.1:${String(agent.scoring.port)}/v2/models/digits/infer`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(input),
    });
  const digit = () => cloud.state.modules['digits'];

  it('says that it is there, and asks what it should run', async () => {
    await until('presence and report', () => cloud.presences.length > 0 && cloud.state.capabilities !== undefined);
    expect(cloud.presences.at(-1)).toMatchObject({ online: true, bootId: 1 });
    expect(cloud.desiredGets).toBeGreaterThan(0);
    expect(cloud.state).toMatchObject({ generation: 0, converged: false, modules: {} });
  });

  it('fetches, proves and serves it, and reports so', async () => {
    cloud.publishDesired(cloud.desiredOf(1, { digits: first.module }));
    await until('converged', () => cloud.state.converged && cloud.state.generation === 1);
    expect(digit()?.active).toMatchObject({
      digest: first.image.digest,
      version: 1,
      state: 'running',
      provider: 'cpu',
    });
    const answer = await score();
    expect(answer.status).toBe(200);
    expect(answer.headers.get('flotilla-generation')).toBe('1');
    expect(((await answer.json()) as { outputs: unknown[] }).outputs.length).toBeGreaterThan(0);
  });

  it('scores by direct command, once, however often it is asked', async () => {
    const arguments_ = { module: 'digits', input: input as never };
    cloud.command('score-1', { operation: 'score', arguments: arguments_ });
    await until('an answer', () => cloud.responses.some(({ id }) => id === 'score-1'));
    expect(cloud.responses.find(({ id }) => id === 'score-1')?.outcome).toMatchObject({
      kind: 'done',
      result: { status: 200 },
    });
    cloud.command('score-1', { operation: 'score', arguments: arguments_ });
    await until('the same answer', () => cloud.responses.filter(({ id }) => id === 'score-1').length === 2);
    const [one, two] = cloud.responses.filter(({ id }) => id === 'score-1');
    expect(two).toEqual(one);
  });

  it('switches to the next version without a failed request, and fetches only what differs', async () => {
    let going = true;
    const client = async (): Promise<void> => {
      while (going) {
        answered.requests += 1;
        const response = await score().catch((error: unknown) => String(error));
        if (typeof response === 'string') answered.failed.push(response);
        else if (response.status !== 200) answered.failed.push(String(response.status));
        else await response.arrayBuffer();
      }
    };
    const clients = [client(), client()];
    cloud.publishDesired(cloud.desiredOf(2, { digits: second.module }));
    await until('converged', () => cloud.state.converged && cloud.state.generation === 2);
    going = false;
    await Promise.all(clients);
    expect(answered.failed).toEqual([]);
    expect(answered.requests).toBeGreaterThan(0);
    expect(digit()).toMatchObject({ active: { version: 2 }, previous: { version: 1 } });
    expect((await score()).headers.get('flotilla-generation')).toBe('2');
  });

  it('answers over gRPC with the version that it answers with over HTTP', async () => {
    const { answer } = await grpc.call<{ versions: string[] }>('ModelMetadata', { name: 'digits' });
    expect(answer.versions).toEqual(['2']);
  });

  it('counts every request once in telemetry, over the switch', async () => {
    const counted = (): number =>
      cloud.stored.telemetry.reduce((sum, batch) => {
        const modules = batch['modules'] as Record<string, { requests: number }>;
        return sum + (modules['digits']?.requests ?? 0);
      }, 0);
    // Each request of the tests so far: one, one command, the clients', one.
    const expected = 1 + 1 + answered.requests + 1;
    await until('all counted', () => counted() >= expected, 45_000);
    expect(counted()).toBe(expected);
    expect(cloud.gaps.telemetry).toBe(0);
  });

  it('refuses a document signed by another key, an older one, and one for another device, and says so', async () => {
    cloud.publishDesired(cloud.desiredOf(3, {}), cloud.publisher);
    await until('refusal', () => cloud.state.refused?.problem.code === 'signature.unknown-key');
    cloud.publishDesired(cloud.desiredOf(1, {}));
    await until('refusal', () => cloud.state.refused?.problem.code === 'desired.older-generation');
    cloud.publishDesired({ ...cloud.desiredOf(9, {}), device: 'cam-2' });
    await until('refusal', () => cloud.state.refused?.problem.code === 'desired.wrong-device');
    expect(digit()?.active).toMatchObject({ version: 2, state: 'running' });
    const explained = agent.device.face.explain() as { refusals: { problem: { code: string } }[] };
    expect(explained.refusals.map(({ problem }) => problem.code)).toEqual(
      expect.arrayContaining(['signature.unknown-key', 'desired.older-generation', 'desired.wrong-device']),
    );
    await until('event', () => JSON.stringify(cloud.stored.events).includes('desired.refused'));
  });

  it('rejects an image whose signature is of another name, and goes on with what it has', async () => {
    const layout = join(folder, 'layout-renamed');
    cloud.layouts.push(layout);
    const renamed = await buildModule({
      moduleFolder: digits,
      layout,
      publisher: cloud.publisher,
      signedName: 'other',
    });
    cloud.publishDesired(
      cloud.desiredOf(4, { digits: { ...renamed.module, image: { ...renamed.image, version: 3 } } }),
    );
    await until('rejected', () => digit()?.candidate?.state === 'rejected');
    expect(digit()?.candidate?.reason?.code).toBe('signature.invalid');
    expect(digit()?.active).toMatchObject({ version: 2, state: 'running' });
    expect(cloud.state).toMatchObject({ generation: 4, converged: false });
    expect((await score()).status).toBe(200);
  });

  it('rejects a version whose golden vectors do not agree, for this generation and after a restart', async () => {
    const layout = join(folder, 'layout-mismatch');
    cloud.layouts.push(layout);
    // The second model held against the answers of the first.
    const wrong = await buildModule({
      moduleFolder: digits,
      layout,
      publisher: cloud.publisher,
      version: 5,
      models: { digits: join(digits, 'model-v2.onnx') },
    });
    cloud.publishDesired(cloud.desiredOf(5, { digits: wrong.module }));
    await until('rejected', () => cloud.state.generation === 5 && digit()?.candidate?.state === 'rejected');
    expect(digit()?.candidate?.reason?.code).toBe('golden.mismatch');
    expect((await score()).status).toBe(200);
    await agent.stop();
    const asked = cloud.requests.length;
    agent = await run(folder);
    await until('reported anew', () => cloud.reports.at(-1)?.bootId === 2 && digit()?.candidate?.state === 'rejected');
    expect(cloud.requests.length).toBe(asked);
    await until('active', () => digit()?.active?.state === 'running');
    expect(digit()?.active?.version).toBe(2);
  });

  it('serves the last committed version from disk when it starts without network', async () => {
    await agent.stop();
    await cloud.close();
    agent = await run(folder);
    await until('an answer', async () => {
      const response = await score().catch(() => undefined);
      return response?.status === 200;
    });
  });

  it('sends what it counted offline once the network is back, and obeys again', async () => {
    await cloud.listen();
    cloud.publishDesired(cloud.desiredOf(6, { digits: second.module }));
    await until('converged', () => cloud.state.converged && cloud.state.generation === 6, 30_000);
    await until('the offline request', () =>
      cloud.stored.telemetry.some(
        (batch) =>
          batch.bootId === 3 &&
          ((batch['modules'] as Record<string, { requests: number }>)['digits']?.requests ?? 0) > 0,
      ),
    );
    expect(cloud.gaps.telemetry).toBe(0);
    expect(cloud.denied).toEqual([]);
  });

  it('stops a module that is no longer desired', async () => {
    cloud.publishDesired(cloud.desiredOf(7, {}));
    await until('converged', () => cloud.state.converged && cloud.state.generation === 7);
    expect(cloud.state.modules).toEqual({});
    expect((await score()).status).toBe(404);
  });

  it('says goodbye when it is stopped', async () => {
    await agent.stop();
    await until('offline', () => cloud.presences.at(-1)?.online === false);
    agent = await run(folder);
  });
});
