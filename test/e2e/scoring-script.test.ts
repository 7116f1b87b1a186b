import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownPort } from '#test/support/own-port.js';
import type { Daemon } from '#cloud/quickstart/program.js';
import { childrenOf } from '../support/child-processes.js';
import { repository, World } from '../support/world.js';

const digits = join(repository, 'modules/digits');
const german = ['null', 'eins', 'zwei', 'drei', 'vier', 'fünf', 'sechs', 'sieben', 'acht', 'neun'];

describe('a module with a scoring script, written in TypeScript', () => {
  let world: World;
  let port: number;
  let agent: Daemon;
  let pixels: number[];

  const ask = async (input: unknown): Promise<{ status: number; body: unknown }> => {
    const response = await fetch(`http://127.0.0.1:${String(port)}/score`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(input),
    });
    return { status: response.status, body: await response.json() };
  };
  const deploy = (...flags: readonly string[]): Promise<string> =>
    world.flotilla('deploy', 'digit-words:1', '--device', 'cam-1', '--probation', '0', ...flags);

  beforeAll(async () => {
    world = await World.create({ operatorInProcess: true });
    port = await ownPort();
    const digit = JSON.parse(await readFile(join(digits, 'fixtures/digit.json'), 'utf8')) as {
      inputs: { data: number[] }[];
    };
    pixels = digit.inputs[0]?.data ?? [];
    await writeFile(join(world.folder, 'input.json'), JSON.stringify({ pixels }));
    await world.open();
    await world.flotilla('model', 'register', join(digits, 'model.onnx'), '--name', 'digits');
    await world.enrol('cam-1');
    agent = await world.startAgent('cam-1', port);
  });
  afterAll(() => world.close());

  it('is built from its folder and a registered model, the same every time', async () => {
    const folder = join(repository, 'test/fixtures/modules/digit-words');
    const build = (): Promise<unknown> => world.flotillaJson('image', 'build', folder, '--model', 'digits:1');
    const first = (await build()) as { digest: string };
    expect(await build()).toMatchObject({ name: 'digit-words', version: 1, flavor: 'node', digest: first.digest });
  });

  it('answers /score on the device', async () => {
    await deploy();
    expect(await ask({ pixels })).toEqual({
      status: 200,
      body: { word: 'three', probability: expect.closeTo(0.967, 2) as number },
    });
  });

  it('says in its log why it does not run on the accelerator that it would rather have', async () => {
    expect(await world.agentCommand('cam-1', 'logs', 'digit-words')).toMatch(/not on tensorrt: \S/);
  });

  it('answers the same through MQTT', async () => {
    const input = join(world.folder, 'input.json');
    const answer = await world.flotillaJson('score', '--device', 'cam-1', '--module', 'digit-words', '--input', input);
    expect(answer).toMatchObject({ output: { word: 'three' } });
  });

  it('refuses what it cannot use with the status and words of its own', async () => {
    expect(await ask({ pixels: [1, 2] })).toEqual({
      status: 400,
      body: { message: expect.stringContaining('64 numbers') as string },
    });
    expect(await ask({ pixels: pixels.with(5, 17) })).toEqual({
      status: 400,
      body: { message: expect.stringContaining('pixels[5]') as string },
    });
  });

  it('gets its settings', async () => {
    await deploy('--set', `words=${JSON.stringify(german)}`);
    expect(await ask({ pixels })).toMatchObject({ status: 200, body: { word: 'drei' } });
  });

  it('answers 500 with the message of what it throws, and goes on', async () => {
    await deploy('--set', 'words=["zero"]');
    expect(await ask({ pixels })).toEqual({
      status: 500,
      body: { message: expect.stringContaining('"words" has no word for 3') as string },
    });
    expect(await world.agentCommand('cam-1', 'logs', 'digit-words')).toMatch(/has no word for 3/);
  });

  it('is refused when its init() fails, with the reason, while what ran before goes on', async () => {
    await deploy();
    await expect(deploy('--set', 'words=7')).rejects.toThrow(/init\(\).*digit-words/s);
    expect(await ask({ pixels })).toMatchObject({ status: 200, body: { word: 'three' } });
    await deploy();
  });

  it('is unloaded and loaded for who can read the control token, and stays what the device is to run', async () => {
    const file = join(world.folder, 'cam-1', 'control-token');
    const token = (await readFile(file, 'utf8')).trim();
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const control = async (action: string, headers: Record<string, string>): Promise<number> => {
      const url = `http://127.0.0.1:${String(port)}/v2/repository/models/digit-words/${action}`;
      return (await fetch(url, { method: 'POST', headers })).status;
    };
    expect(await control('unload', {})).toBe(401);
    expect(await control('unload', { authorization: `Bearer ${token}` })).toBe(200);
    expect((await ask({ pixels })).status).toBe(503);
    const status = await world.agentCommand('cam-1', 'status');
    expect(status).toContain('converged   yes');
    expect(status).not.toContain(token);
    expect(await control('load', { authorization: `Bearer ${token}` })).toBe(200);
    expect(await ask({ pixels })).toMatchObject({ status: 200, body: { word: 'three' } });
  });

  it('is started again after it was killed, and the crash is reported', async () => {
    const [script] = await childrenOf(agent.pid, 'script-host');
    if (script === undefined) throw new Error('there is no script host');
    process.kill(script, 'SIGKILL');
    await agent.until('answering again', 30_000, async () =>
      (await childrenOf(agent.pid, 'script-host')).some((pid) => pid !== script) &&
      (await ask({ pixels })).status === 200
        ? true
        : undefined,
    );
    await agent.until('reporting the crash', 30_000, async () => {
      const events = await world.flotilla('device', 'events', 'cam-1');
      return /module\.crashed.*digit-words/.test(events) ? true : undefined;
    });
  });
});
