import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownPort } from '#test/support/own-port.js';
import type { Daemon } from '#cloud/quickstart/program.js';
import { SteadyLoad } from '../support/steady-load.js';
import { repository, World } from '../support/world.js';

const module = join(repository, 'modules/digits');
const json = { 'content-type': 'application/json' };
const digitFile = join(module, 'fixtures/digit.json');

interface Inferred {
  readonly outputs: { readonly name: string; readonly data: number[] }[];
}

function label(answer: Inferred): number | undefined {
  return answer.outputs.find(({ name }) => name === 'label')?.data[0];
}

describe('the walk of the README, with built programs', () => {
  let world: World;
  let port: number;
  let agent: Daemon;
  /** Requests that the device has answered with 200. */
  let asked = 0;
  const infer = (): string => `http://127.0.0.1:${String(port)}/v2/models/digits/infer`;

  beforeAll(async () => {
    world = await World.create();
    port = await ownPort();
    await world.open();
  });
  afterAll(() => world.close());

  it('registers a model, whose signature comes from the graph', async () => {
    await world.flotilla('model', 'register', join(module, 'model.onnx'), '--name', 'digits', '--tag', 'stage=dev');
    expect(await world.flotillaJson('model', 'show', 'digits:1')).toMatchObject({
      name: 'digits',
      version: 1,
      tags: { stage: 'dev' },
      signature: { inputs: [{ name: 'image', datatype: 'FP32', shape: ['batch', 1, 8, 8] }] },
    });
  });

  it('gives the same bytes back', async () => {
    const target = join(world.folder, 'downloaded');
    await world.flotilla('model', 'download', 'digits:1', '-o', target);
    expect(await readFile(join(target, 'model.onnx'))).toEqual(await readFile(join(module, 'model.onnx')));
  });

  it('builds and signs an image, and the same image again from the same input', async () => {
    const first = (await world.flotillaJson('image', 'build', module, '--model', 'digits:1')) as { digest: string };
    const second = await world.flotillaJson('image', 'build', module, '--model', 'digits:1');
    expect(second).toMatchObject({ name: 'digits', version: 1, digest: first.digest });
  });

  it('lets a device in once per token', async () => {
    const { token } = (await world.flotillaJson('device', 'token', '--tag', 'site=lab')) as {
      token: string;
    };
    await world.agentCommand('cam-1', 'enroll', '--token', token, '--name', 'cam-1');
    await expect(world.agentCommand('cam-2', 'enroll', '--token', token, '--name', 'cam-2')).rejects.toThrow(
      /enrolment\.token-used/,
    );
  });

  it('deploys and waits until the device reports that it answers', async () => {
    agent = await world.startAgent('cam-1', port);
    expect(await world.flotillaJson('deploy', 'digits:1', '--device', 'cam-1', '--timeout', '60s')).toMatchObject({
      done: true,
      generation: 1,
    });
    expect(await world.flotillaJson('device', 'show', 'cam-1')).toMatchObject({
      online: true,
      tags: { site: 'lab' },
      reported: { converged: true, modules: { digits: { active: { state: 'running', version: 1 } } } },
    });
  });

  it('scores on the device with JSON and with binary tensors, and the answers agree', async () => {
    const body = await readFile(digitFile, 'utf8');
    const byJson = await fetch(infer(), { method: 'POST', headers: json, body });
    expect(byJson.status).toBe(200);
    asked += 1;
    expect(byJson.headers.get('flotilla-generation')).toBe('1');
    const answer = (await byJson.json()) as Inferred;
    expect(label(answer)).toBe(3);

    const tensor = await readFile(join(module, 'fixtures/digit.bin'));
    const head = Buffer.from(
      JSON.stringify({
        inputs: [
          { name: 'image', shape: [1, 1, 8, 8], datatype: 'FP32', parameters: { binary_data_size: tensor.length } },
        ],
        parameters: { binary_data_output: true },
      }),
    );
    const byBinary = await fetch(infer(), {
      method: 'POST',
      headers: { 'inference-header-content-length': String(head.length) },
      body: Buffer.concat([head, tensor]),
    });
    expect(byBinary.status).toBe(200);
    asked += 1;
    const bytes = Buffer.from(await byBinary.arrayBuffer());
    const headLength = Number(byBinary.headers.get('inference-header-content-length'));
    const probabilities = Array.from({ length: 10 }, (_, index) => bytes.readFloatLE(headLength + 4 * index));
    const expected = answer.outputs.find(({ name }) => name === 'probabilities')?.data ?? [];
    for (const [index, value] of probabilities.entries()) expect(value).toBeCloseTo(expected[index] ?? Number.NaN, 6);
  });

  it('scores from the cloud through MQTT', async () => {
    const answer = (await world.flotillaJson(
      ...['score', '--device', 'cam-1', '--module', 'digits', '--input', digitFile],
    )) as { output: Inferred };
    expect(label(answer.output)).toBe(3);
    asked += 1;
  });

  it('refuses to delete what is deployed, naming the device', async () => {
    await expect(world.flotilla('model', 'delete', 'digits:1')).rejects.toThrow(
      /model\.in-use: digits:1 runs on cam-1/,
    );
  });

  it('rejects a version whose golden vectors disagree, says so, and keeps the incumbent', async () => {
    await world.flotilla('model', 'register', join(module, 'model-v2.onnx'), '--name', 'digits');
    await world.flotilla('image', 'build', module, '--model', 'digits:2');
    await expect(world.flotilla('deploy', 'digits:2', '--device', 'cam-1', '--timeout', '60s')).rejects.toThrow(
      /golden\.mismatch/,
    );
    const explained = await world.agentCommand('cam-1', 'explain');
    expect(explained).toMatch(/golden/);
    const response = await fetch(infer(), { method: 'POST', headers: json, body: await readFile(digitFile) });
    expect(response.headers.get('flotilla-version')).toBe('1');
    asked += 1;
  });

  it('switches to a second version under load without a failed request', async () => {
    const golden = join(module, 'golden-v2.json');
    const { version } = (await world.flotillaJson(
      ...['image', 'build', module, '--model', 'digits:2', '--golden', golden],
    )) as { version: number };
    const load = new SteadyLoad(infer(), await readFile(digitFile));
    await world.flotilla('deploy', `digits:${String(version)}`, '--device', 'cam-1', '--probation', '2s');
    const before = load.total;
    await agent.until('answering with the new version for a while', 30_000, () =>
      load.total > before + 200 ? true : undefined,
    );
    const result = await load.stop();
    asked += result.answered;
    expect(result).toMatchObject({ failed: 0, failures: [] });
    expect(Object.keys(result.versions).sort()).toEqual(['1', String(version)]);
  });

  it('counts every request in the telemetry, once', async () => {
    const counted = async (): Promise<number> => {
      const body = (await world.flotillaJson('telemetry', 'cam-1', '--since', '10m')) as {
        modules: { requests: number }[];
      };
      return body.modules.reduce((total, one) => total + one.requests, 0);
    };
    await agent.until(`in the store with ${String(asked)} requests`, 30_000, async () =>
      (await counted()) >= asked ? true : undefined,
    );
    // Two further intervals bring nothing more.
    await pause(2500);
    expect(await counted()).toBe(asked);
  });

  it('shows the log of the device and of the module', async () => {
    expect(await world.flotilla('logs', 'cam-1')).toMatch(/\S/);
    await expect(world.flotilla('logs', 'cam-1', 'nothing-there')).rejects.toThrow(/module\.not-found/);
  });

  it('undeploys, and the device no longer answers for the module', async () => {
    await world.flotilla('undeploy', 'digits', '--device', 'cam-1');
    const response = await fetch(infer(), { method: 'POST', headers: json, body: await readFile(digitFile) });
    expect(response.status).toBe(404);
  });

  it('retires a device, which ends its session and lets the model be deleted', async () => {
    await world.flotilla('device', 'retire', 'cam-1');
    await expect(world.flotilla('deploy', 'digits:1', '--device', 'cam-1')).rejects.toThrow(/device\.retired/);
    await world.flotilla('model', 'delete', 'digits:1');
    await rm(join(world.folder, 'downloaded'), { recursive: true });
  });
});
