import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '#cloud/quickstart/free-port.js';
import type { Daemon } from '#cloud/quickstart/program.js';
import { openTerminal, type PageBlock, printedPattern, readPage, type Terminal } from '../support/doc-page.js';
import { pictureModel, textModel } from '../support/new-models.js';
import { repository, World } from '../support/world.js';

const modules = join(repository, 'modules');
const page = join(repository, 'docs/your-own-module.md');
const blocks: PageBlock[] = await readPage(page);

let world: World;
let port: number;
let agent: Daemon;
beforeAll(async () => {
  world = await World.create();
  port = (await freePort(0)).port;
  await world.open();
  await world.enrol('cam-1');
  agent = await world.startAgent('cam-1', port);
});
afterAll(() => world.close());

const score = async (module: string, file: string, type: string): Promise<unknown> => {
  const body = Uint8Array.from(await readFile(join(modules, module, 'fixtures', file)));
  const response = await fetch(`http://127.0.0.1:${String(port)}/score/${module}`, {
    ...{ method: 'POST', body, headers: { 'content-type': type } },
  });
  return { status: response.status, body: await response.json() };
};

describe('modules that ship, by the commands of their READMEs, on a built agent', () => {
  it('are built and deployed together', async () => {
    for (const module of ['machine-anomaly', 'voice-activity']) {
      await world.flotilla('image', 'build', join(modules, module));
    }
    await world.flotilla('deploy', 'machine-anomaly:1', '--device', 'cam-1', '--probation', '0', '--set', 'inARow=1');
    await world.flotilla('deploy', 'voice-activity:1', '--device', 'cam-1', '--probation', '0');
  });

  it('machine-anomaly turns the raw reading of a worn bearing into an alarm', async () => {
    expect(await score('machine-anomaly', 'bearing.json', 'application/json')).toMatchObject({
      status: 200,
      body: { machine: 'fan-1', anomaly: true, alarm: 'raised', change: 'raised' },
    });
  });

  it('voice-activity marks the two sentences of a WAV file', async () => {
    expect(await score('voice-activity', 'two-sentences.wav', 'audio/wav')).toMatchObject({
      status: 200,
      body: {
        segments: [{ start: expect.closeTo(0.226, 1) as number }, { start: expect.closeTo(4.738, 1) as number }],
      },
    });
  });
});

describe('models of kinds that ship with nothing, four commands each', () => {
  const from = async (name: string, model: Buffer): Promise<unknown> => {
    const [file, folder] = [join(world.folder, `${name}.onnx`), join(world.folder, name)];
    await writeFile(file, model);
    await world.flotilla('module', 'init', name, '--model', file, '--folder', folder);
    await world.flotilla('image', 'build', folder);
    await world.flotilla('deploy', `${name}:1`, '--device', 'cam-1', '--probation', '0');
    const example = join(folder, 'example.json');
    return world.flotillaJson('score', '--device', 'cam-1', '--module', name, '--input', example);
  };

  it('pictures in, of any size', async () => {
    expect(await from('gate', pictureModel())).toMatchObject({
      output: { outputs: [{ name: 'scores', datatype: 'FP32', shape: [1, 4] }] },
    });
  });

  it('texts in, as the int64 ids of their words', async () => {
    expect(await from('reviews', textModel())).toMatchObject({
      output: {
        outputs: [
          { name: 'logits', shape: [1, 2] },
          { name: 'label', datatype: 'INT64', shape: [1] },
        ],
      },
    });
  });
});

describe('the page "write your own module"', () => {
  let terminal: Terminal;
  beforeAll(async () => {
    const programs = join(world.folder, 'bin');
    await mkdir(programs);
    const program = join(repository, 'dist/cloud/cli/main.js');
    const start = `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`;
    await writeFile(join(programs, 'flotilla'), start, { mode: 0o755 });
    const env = { ...world.operator, PATH: `${programs}:${process.env['PATH'] ?? ''}` };
    const serve = String((await freePort(0)).port);
    terminal = openTerminal(repository, env, {
      '/tmp/': `${world.folder}/`,
      ':8800': `:${String(port)}`,
      '8810': serve,
    });
  });
  afterAll(() => terminal.close());

  it.each(blocks)('works at line $line', async (block) => {
    const { commands, expected } = block;
    const asksServe = commands.includes(':8810');
    const printed = asksServe
      ? await agent.until('and flotilla serve beside it', 20_000, () => terminal.type(block).catch(() => undefined))
      : await terminal.type(block);
    if (expected !== undefined) expect(printed).toMatch(printedPattern(expected));
  });
});
