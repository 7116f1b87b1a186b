import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CloudProcess } from '#test/support/cli/cloud-process.js';
import { CliHarness, type CliRun } from '#test/support/cli/cli-harness.js';

const digits = resolve('modules/digits');
const models = resolve('test/fixtures/models');

let folder: string;
let cloud: CloudProcess;
let cli: CliHarness;
let run: (...args: string[]) => Promise<CliRun>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flotilla-registry-'));
  cloud = await CloudProcess.start();
  cli = await CliHarness.make();
  run = (...args) => cli.run(args, { url: cloud.url, token: cloud.ownerToken });
});
afterAll(async () => {
  const code = await cloud.stop();
  await cli.remove();
  await rm(folder, { recursive: true, force: true });
  expect(code, 'exit code of flotilla cloud after Ctrl-C').toBe(0);
});

const json = async <T>(...args: string[]): Promise<T> => {
  const { exit, stdout, stderr } = await run(...args, '--output', 'json');
  expect(exit, stderr).toBe(0);
  return JSON.parse(stdout) as T;
};

describe('against the real control plane', () => {
  it('login finds the version and the workspace', async () => {
    const own = await CliHarness.make();
    try {
      const { exit, stdout } = await own.run(['login', cloud.url, '--token', cloud.ownerToken]);
      expect(exit).toBe(0);
      expect(stdout).toContain('workspace default');
      expect((await own.run(['device', 'list'])).exit).toBe(0);
    } finally {
      await own.remove();
    }
  });

  it('a device token is made, and what no device answers says so', async () => {
    expect((await run('device', 'token')).stdout).toContain('flotilla-agent enroll --token flotilla-enrol-1.');
    expect(await json('device', 'list')).toEqual([]);
    for (const args of [['device', 'show'], ['logs'], ['telemetry'], ['device', 'events'], ['device', 'retire']]) {
      expect(await run(...args, 'cam-9'), args.join(' ')).toMatchObject({ exit: 4, stdout: '' });
    }
  });

  it('a model is registered with its log, listed, shown, tagged, downloaded and deleted', async () => {
    const registered = await run(
      'model',
      'register',
      join(digits, 'model.onnx'),
      '--name',
      'cycle',
      '--tag',
      'stage=dev',
    );
    expect(registered).toMatchObject({ exit: 0, stdout: 'registered cycle:1\n' });
    expect(registered.stderr).toContain('onnxruntime loads it');
    expect((await run('model', 'register', join(digits, 'model.onnx'), '--name', 'cycle')).stderr).toContain(
      'has it already',
    );
    expect((await run('model', 'show', 'cycle:1')).stdout).toMatch(/input +image +FP32 +\[batch, 1, 8, 8\]/);
    expect(await json('model', 'list', '--name', 'cycle', '--tag', 'stage=dev')).toHaveLength(1);
    expect(await json('model', 'tag', 'cycle:1', 'line=3', 'stage-')).toMatchObject({ tags: { line: '3' } });
    const out = join(folder, 'download');
    expect((await run('model', 'download', 'cycle:1', '-o', out)).stdout).toBe(`${join(out, 'model.onnx')}\n`);
    expect(await readFile(join(out, 'model.onnx'))).toEqual(await readFile(join(digits, 'model.onnx')));
    expect((await run('model', 'delete', 'cycle:2')).exit).toBe(0);
    expect(await run('model', 'show', 'cycle:2')).toMatchObject({ exit: 4, stdout: '' });
  });

  it('external data is found through the graph, and comes back with it', async () => {
    await run('model', 'register', join(models, 'external', 'model.onnx'), '--name', 'external');
    const { files } = await json<{ files: { path: string }[] }>(
      'model',
      'download',
      'external:1',
      '-o',
      join(folder, 'ext'),
    );
    expect(files.map(({ path }) => path)).toEqual([
      join(folder, 'ext', 'model.onnx'),
      join(folder, 'ext', 'weights.bin'),
    ]);
    expect((await stat(join(folder, 'ext', 'weights.bin'))).size).toBe(
      (await stat(join(models, 'external', 'weights.bin'))).size,
    );
  });

  it.each([
    ['not-onnx.bin', 2, 'model.not-onnx'],
    ['unloadable.onnx', 2, 'model.unloadable'],
    ['no-such-file.onnx', 2, 'there is no such file'],
    ['external', 2, 'is not a file'],
  ])('%s is refused as what it is', async (file, exit, message) => {
    const refused = await run('model', 'register', join(models, file), '--name', 'bad');
    expect(refused).toMatchObject({ exit, stdout: '' });
    expect(refused.stderr).toContain(message);
  });

  it('an image is built, signed and registered; built again it is the same; exported it is a layout', async () => {
    await run('model', 'register', join(digits, 'model.onnx'), '--name', 'digits');
    const built = await json<{ digest: string; signature: { keyIds: string[] }; models: string[] }>(
      ...['image', 'build', digits, '--model', 'digits:1', '--layout', join(folder, 'layout')],
    );
    const { keyId } = await json<{ keyId: string }>('keys', 'show');
    expect(built.signature.keyIds).toEqual([keyId]);
    expect(built.models).toContain('digits:1');
    const again = await json<{ digest: string }>('image', 'build', digits);
    expect(again.digest).toBe(built.digest);
    expect((await run('image', 'list')).stdout).toMatch(/^digits:1 +onnx /m);
    expect((await run('image', 'show', built.digest)).stdout).toContain('models/digits/model.onnx');

    const exported = join(folder, 'exported');
    expect((await run('image', 'export', 'digits:1', exported)).exit).toBe(0);
    const hex = built.digest.slice('sha256:'.length);
    const manifest = await readFile(join(exported, 'blobs', 'sha256', hex));
    expect(manifest).toEqual(await readFile(join(folder, 'layout', 'blobs', 'sha256', hex)));
    const index = JSON.parse(await readFile(join(exported, 'index.json'), 'utf8')) as {
      manifests: { digest: string }[];
    };
    expect(index.manifests.map(({ digest }) => digest)).toEqual([built.digest]);
  });

  it('a folder that is no module, or of a flavor that is not built yet, is refused before anything is sent', async () => {
    expect((await run('image', 'build', models)).stderr).toContain('module.yaml: there is no such file');
    const python = join(folder, 'python');
    await mkdir(python);
    await writeFile(join(python, 'module.yaml'), 'schema: 1\nname: a\nflavor: python\n');
    const refused = await run('image', 'build', python);
    expect(refused.exit).toBe(2);
    expect(refused.stderr).toContain('error module.not-yet');
  });

  it('activities are listed with their logs, newest first', async () => {
    const [newest] = await json<{ id: string; kind: string }[]>('activity', 'list', '-n', '1');
    expect((await run('activity', 'show', newest?.id ?? '')).stdout).toContain(newest?.kind);
    expect((await run('activity', 'log', newest?.id ?? '')).stdout).toMatch(/^\d{4}-.*Z {2}\S/);
    expect((await run('activity', 'log', newest?.id ?? '', '--follow')).exit).toBe(0);
    expect((await run('activity', 'show', 'no-such-id')).exit).toBe(4);
  });

  it('workspaces are made, kept apart, and deleted when empty', async () => {
    expect((await run('workspace', 'create', 'plant-2')).exit).toBe(0);
    expect((await run('workspace', 'create', 'plant-2')).exit).toBe(5);
    expect(await json('model', 'list', '--workspace', 'plant-2')).toEqual([]);
    expect((await run('workspace', 'delete', 'default')).stderr).toContain('workspace.not-empty');
    expect((await run('workspace', 'delete', 'plant-2')).exit).toBe(0);
    expect((await run('model', 'list', '--workspace', 'plant-2')).stderr).toContain('error workspace.not-found');
  });

  it('a wrong token is told apart, and shown nowhere', async () => {
    const refused = await cli.run(['model', 'list'], { url: cloud.url, token: 'flt_wrong-token' });
    expect(refused.exit).toBe(3);
    expect(refused.stderr).toContain('auth.invalid');
    expect(refused.stderr).not.toContain('flt_wrong-token');
  });
});
