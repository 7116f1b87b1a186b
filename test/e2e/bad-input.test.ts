import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownPort } from '#test/support/own-port.js';
import { ProgramFailed } from '#cloud/quickstart/program.js';
import { repository, World } from '../support/world.js';

const module = join(repository, 'modules/digits');
const digitFile = join(module, 'fixtures/digit.json');

/** What a failing command says; a command that succeeds fails the test. */
async function failure(command: Promise<unknown>): Promise<{ exit: string; output: string }> {
  try {
    await command;
  } catch (error) {
    if (error instanceof ProgramFailed) return { exit: error.exit, output: error.output };
    throw error;
  }
  throw new Error('the command succeeded');
}

describe('bad input to the built programs', () => {
  let world: World;
  let port: number;
  let tokenOfTenSeconds: string;
  let tokenMadeAt: number;

  beforeAll(async () => {
    world = await World.create();
    port = await ownPort();
    await world.open();
    tokenMadeAt = performance.now();
    tokenOfTenSeconds = ((await world.flotillaJson('device', 'token', '--ttl', '10s')) as { token: string }).token;
    await world.flotilla('model', 'register', join(module, 'model.onnx'), '--name', 'digits');
    await world.flotilla('image', 'build', module, '--model', 'digits:1');
    await world.enrol('cam-1');
    await world.startAgent('cam-1', port);
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--timeout', '60s');
    await writeFile(join(world.folder, 'notes.txt'), 'this is no model');
    await writeFile(join(world.folder, 'nan.json'), '{"inputs":[NaN]}');
    const digit = JSON.parse(await readFile(digitFile, 'utf8')) as { inputs: { shape: number[] }[] };
    const [image] = digit.inputs;
    if (image) image.shape = [1, 64];
    await writeFile(join(world.folder, 'shape.json'), JSON.stringify(digit));
  });
  afterAll(() => world.close());

  describe('a command names what is not there, and what to do', () => {
    it.each([
      ['an unknown version', ['model', 'show', 'digits:9'], /model\.not-found.*digits:9/s],
      ['an unknown model', ['model', 'download', 'didgits:1'], /model\.not-found.*didgits/s],
      ['a reference that is none', ['model', 'show', 'digits'], /digits:1/],
      ['an unknown image', ['deploy', 'digits:9', '--device', 'cam-1'], /image\.not-found.*digits:9/s],
      ['an unknown image to look at', ['image', 'show', 'nope:1'], /image\.not-found.*nope/s],
      ['an unknown device', ['deploy', 'digits:1', '--device', 'cam-9'], /device\.not-found.*cam-9/s],
      ['an unknown device to show', ['device', 'show', 'cam-9'], /device\.not-found.*cam-9/s],
      ['an unknown device to score on', score('cam-9', 'digits', digitFile), /device\.not-found.*cam-9/s],
      ['an unknown module', score('cam-1', 'digitz', digitFile), /module\.not-found.*digitz/s],
      ['an unknown module to take off', ['undeploy', 'digitz', '--device', 'cam-1'], /digitz/],
      ['an unknown workspace', ['model', 'list', '--workspace', 'nowhere'], /workspace\.not-found.*nowhere/s],
      ['a file that is not there', ['model', 'register', 'no.onnx', '--name', 'x'], /no\.onnx/],
      ['a command that is none', ['modle', 'list'], /model/],
      ['a flag that is none', ['model', 'list', '--outptu', 'json'], /--output/],
    ])('%s', async (_what, args, said) => {
      const { exit, output } = await failure(world.flotilla(...args));
      expect(output).toMatch(said);
      expect(Number(exit)).toBeGreaterThan(0);
    });

    it('a file that is no model', async () => {
      const path = join(world.folder, 'notes.txt');
      const { output } = await failure(world.flotilla('model', 'register', path, '--name', 'notes'));
      expect(output).toMatch(/model\.not-onnx.*notes\.txt/s);
      expect((await failure(world.flotilla('model', 'show', 'notes:1'))).output).toMatch(/model\.not-found/);
    });

    it('an input file that is not JSON', async () => {
      const { output } = await failure(world.flotilla(...score('cam-1', 'digits', join(world.folder, 'nan.json'))));
      expect(output).toMatch(/nan\.json.*JSON/s);
    });

    it('an input that the model does not take, as the device says it', async () => {
      const { output } = await failure(world.flotilla(...score('cam-1', 'digits', join(world.folder, 'shape.json'))));
      expect(output).toMatch(/score\.invalid-input.*image.*\[1, ?64\]/s);
    });
  });

  describe('the device, asked for a score, names the tensor and the remedy', () => {
    const v2 = { name: 'image', shape: [1, 1, 8, 8], datatype: 'FP32', data: Array(64).fill(0) as number[] };
    const json = { 'content-type': 'application/json' };
    const body = (input: object): string => JSON.stringify({ inputs: [{ ...v2, ...input }] });

    it.each([
      ['another name', 400, body({ name: 'picture' }), json, /"picture".*image/],
      ['another shape', 400, body({ shape: [1, 64] }), json, /"image".*FP32 \[batch,1,8,8\], got FP32 \[1,64\]/],
      ['another type', 400, body({ datatype: 'INT64' }), json, /"image".*FP32.*got INT64/],
      ['too few numbers', 400, body({ data: [1, 2] }), json, /image.*64/],
      ['NaN', 400, body({}).replace('[0', '[NaN'), json, /NaN|JSON/],
      ['another content type', 415, body({}), { 'content-type': 'text/csv' }, /text\/csv.*application\/json/],
    ])('%s', async (_what, status, text, headers, said) => {
      const response = await fetch(`http://127.0.0.1:${String(port)}/v2/models/digits/infer`, {
        method: 'POST',
        headers,
        body: text,
      });
      expect(response.status).toBe(status);
      expect(((await response.json()) as { error: string }).error).toMatch(said);
    });

    it('a body above the limit', async () => {
      const megabytes = 65;
      const response = await fetch(`http://127.0.0.1:${String(port)}/score`, {
        method: 'POST',
        headers: json,
        body: new Uint8Array(megabytes * 1024 * 1024).fill(0x20),
      });
      expect(response.status).toBe(413);
      expect(await response.text()).toMatch(/67108864|64 MiB/);
    });

    it('a module that is not there', async () => {
      const response = await fetch(`http://127.0.0.1:${String(port)}/v2/models/digitz/infer`, {
        method: 'POST',
        headers: json,
        body: body({}),
      });
      expect(response.status).toBe(404);
      expect(await response.text()).toMatch(/digitz.*digits/);
    });

    it('and answers the next request', async () => {
      const response = await fetch(`http://127.0.0.1:${String(port)}/v2/models/digits/infer`, {
        method: 'POST',
        headers: json,
        body: await readFile(digitFile),
      });
      expect(response.status).toBe(200);
    });
  });

  describe('a daemon that cannot start says why, and leaves the other one alone', () => {
    it.each(['http', 'gateway', 'broker'] as const)('flotilla cloud on a taken %s port', async (which) => {
      const taken = { http: world.ports.api, gateway: world.ports.gateway, broker: world.ports.broker }[which];
      const ports = { http: 0, gateway: 0, broker: 0, [which]: taken };
      const flags = Object.entries(ports).flatMap(([name, value]) => [`--${name}-port`, String(value)]);
      const dataDir = join(world.folder, `other-${which}`);
      const { exit, output } = await failure(world.flotilla('cloud', '--data-dir', dataDir, ...flags));
      expect(exit).not.toBe('0');
      expect(output).toMatch(/port\.taken/);
      expect(output).toMatch(new RegExp(`127\\.0\\.0\\.1:${String(taken)}.*--${which}-port`, 's'));
      expect(output).not.toMatch(/\n\s+at /);
    });

    it('flotilla cloud on a data folder in use', async () => {
      const flags = ['--http-port', '0', '--gateway-port', '0', '--broker-port', '0'];
      const { output } = await failure(world.flotilla('cloud', '--data-dir', world.dataDir, ...flags));
      expect(output).toMatch(/already\.running/);
      expect(output).toContain(world.dataDir);
      expect((await fetch(`${world.url}/readyz`)).status).toBe(200);
    });

    it('flotilla-agent run on a taken port', async () => {
      await world.enrol('cam-2');
      const { output } = await failure(world.agentCommand('cam-2', 'run', '--scoring-port', String(port)));
      expect(output).toMatch(/port\.taken/);
      expect(output).toMatch(new RegExp(`${String(port)}.*--scoring-port`, 's'));
    });

    it('flotilla-agent run on a state folder in use', async () => {
      const { output } = await failure(world.agentCommand('cam-1', 'run', '--scoring-port', '0'));
      expect(output).toMatch(/already\.running/);
      expect(output).toContain(join(world.folder, 'cam-1'));
      expect(await world.agentCommand('cam-1', 'status')).toMatch(/digits/);
    });

    it('flotilla-agent run on a machine that is not enrolled', async () => {
      const { output } = await failure(world.agentCommand('cam-3', 'run'));
      expect(output).toMatch(/auth\.missing/);
      expect(output).toMatch(/flotilla-agent enroll/);
    });
  });

  it('a token that has expired lets no device in, and says how to get another', async () => {
    await pause(Math.max(0, 10_500 - (performance.now() - tokenMadeAt)));
    const { output } = await failure(
      world.agentCommand('cam-3', 'enroll', '--token', tokenOfTenSeconds, '--name', 'cam-3'),
    );
    expect(output).toMatch(/enrolment\.token-expired/);
    expect(output).toMatch(/flotilla device token/);
    expect((await failure(world.flotilla('device', 'show', 'cam-3'))).output).toMatch(/device\.not-found/);
  });
});

function score(device: string, name: string, input: string): string[] {
  return ['score', '--device', device, '--module', name, '--input', input];
}
