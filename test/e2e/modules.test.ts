import { execFile } from 'node:child_process';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AlertNotice } from '#cloud/alerts/alert-notice.js';
import type { Daemon } from '#cloud/quickstart/program.js';
import { openTerminal, type PageBlock, printedPattern, readPage, type Terminal } from '../support/doc-page.js';
import { outsideTool } from '../support/outside-tool.js';
import { ownPort } from '../support/own-port.js';
import { pictureModel, textModel } from '../support/new-models.js';
import { WebhookReceiver } from '../support/webhook-receiver.js';
import { repository, World } from '../support/world.js';

const modules = join(repository, 'modules');
const page = join(repository, 'docs/your-own-module.md');
const blocks: PageBlock[] = await readPage(page);

let world: World;
let port: number;
let mqttPort: number;
let agent: Daemon;
let webhook: WebhookReceiver<AlertNotice>;
beforeAll(async () => {
  mqttPort = await ownPort();
  webhook = await WebhookReceiver.open();
  world = await World.create({
    agents: { FLOTILLA_AGENT_MQTT_PORT: String(mqttPort) },
    cloud: () => ({ FLOTILLA_ALERTS_DESTINATIONS_FILE: join(world.folder, 'destinations.yaml') }),
  });
  await writeFile(join(world.folder, 'destinations.yaml'), webhook.destinations, { mode: 0o600 });
  port = await ownPort();
  await world.open();
  await world.enrol('cam-1');
  agent = await world.startAgent('cam-1', port);
});
afterAll(async () => {
  await world.close();
  webhook.close();
});

const fixture = (module: string, file: string): string => join(modules, module, 'fixtures', file);

/** What a module wrote to its file on the device, once it is so many lines. */
const written = (module: string, file: string, lines: number): Promise<Line[]> =>
  agent.until(`writing ${String(lines)} lines to ${file}`, 20_000, async () => {
    const text = await readFile(join(world.folder, 'cam-1/answers', module, file), 'utf8').catch(() => '');
    const whole = text.split('\n').slice(0, -1);
    return whole.length < lines ? undefined : whole.map((line) => JSON.parse(line) as Line);
  });

interface Line {
  readonly source: string;
  readonly value: unknown;
}

describe('modules that ship, by the commands of their READMEs, on a built agent', () => {
  it('are built and deployed', async () => {
    const shipped = ['digits', 'machine-anomaly', 'voice-activity'];
    for (const module of shipped) await world.flotilla('image', 'build', join(modules, module));
    await world.flotilla('deploy', ...shipped.map((module) => `${module}:1`), '--device', 'cam-1', '--probation', '0');
  });

  it('digits names the pictures that are dropped in its folder', async () => {
    const { 'expected.json': _, ...pictures } = Object.fromEntries(
      (await readdir(fixture('digits', 'pictures'))).map((name) => [name, fixture('digits', `pictures/${name}`)]),
    );
    const incoming = join(world.folder, 'cam-1/incoming/digits');
    await mkdir(incoming, { recursive: true });
    for (const [name, path] of Object.entries(pictures)) await copyFile(path, join(incoming, name));
    const lines = await written('digits', 'answers.jsonl', Object.keys(pictures).length);
    const labels = lines.map(({ source, value }) => {
      const { outputs } = value as { outputs: { name: string; data: number[] }[] };
      return [source, outputs.find(({ name }) => name === 'label')?.data[0]];
    });
    expect(Object.fromEntries(labels)).toEqual(
      JSON.parse(await readFile(fixture('digits', 'pictures/expected.json'), 'utf8')),
    );
  });

  it('machine-anomaly turns raw readings of a worn bearing, published at the site, into one event in the cloud and one call of a webhook', async () => {
    const rules = join(world.folder, 'rules.yaml');
    const rule = 'name: machines, event: module.output, module: machine-anomaly, by: device, over: 1h, notify: [ops]';
    await writeFile(rules, `rules: [{ ${rule} }]\n`);
    await world.flotilla('alert', 'apply', '-f', rules);
    const publish = outsideTool('mosquitto_pub');
    const at = ['-h', '127.0.0.1', '-p', String(mqttPort), '-q', '1', '-t', 'plant/fan-1/vibration'];
    const reading = fixture('machine-anomaly', 'bearing.json');
    for (let count = 0; count < 4; count++) await promisify(execFile)(publish, [...at, '-f', reading]);
    const told = await agent.until('raising the alarm', 20_000, async () => {
      const events = await world.flotilla('device', 'events', 'cam-1', '-n', '20');
      return events.match(/^.*machine-anomaly.*fan-1.*raised.*$/gm) ?? undefined;
    });
    expect(told).toEqual([expect.stringContaining('kurtosis') as string]);
    await agent.until('and calling the webhook', 20_000, async () => (webhook.notices.length > 0 ? true : undefined));
    expect(webhook.notices).toMatchObject([{ type: 'alert.fired', rule: 'machines', subject: 'cam-1', value: 1 }]);
  });

  it('voice-activity marks the sentences of a recording in its folder, and of a microphone on a topic', async () => {
    const incoming = join(world.folder, 'cam-1/incoming/recordings');
    await mkdir(incoming, { recursive: true });
    const file = fixture('voice-activity', 'two-sentences.wav');
    await copyFile(file, join(incoming, 'talk.wav'));
    const recorded = await written('voice-activity', 'speech.jsonl', 2);
    expect(recorded.map(({ value }) => value)).toEqual([
      { recording: 'talk.wav', start: expect.closeTo(0.226, 1) as number, end: expect.closeTo(2.846, 1) as number },
      { recording: 'talk.wav', start: expect.closeTo(4.738, 1) as number, end: expect.closeTo(7.55, 1) as number },
    ]);

    const microphone = await connectAsync(`mqtt://127.0.0.1:${String(mqttPort)}`, { reconnectPeriod: 0 });
    try {
      const sound = Buffer.concat([(await readFile(file)).subarray(44), Buffer.alloc(16_000)]);
      for (let at = 0; at < sound.length; at += 8000) {
        await microphone.publishAsync('microphones/hall', sound.subarray(at, at + 8000), { qos: 1 });
      }
    } finally {
      await microphone.endAsync();
    }
    const [, , first, second] = await written('voice-activity', 'speech.jsonl', 4);
    expect([first?.value, second?.value]).toMatchObject([
      { stream: 'microphones/hall', start: expect.closeTo(0.226, 1) as number },
      { stream: 'microphones/hall', start: expect.closeTo(4.738, 1) as number },
    ]);
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
    const serve = String(await ownPort());
    const state = join(world.folder, 'cam-1');
    terminal = openTerminal(repository, env, {
      // First: the others put paths in that begin so.
      '/tmp/': `${world.folder}/`,
      '~/.local/state/flotilla-agent': state,
      '-p 1883': `-p ${String(mqttPort)}`,
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
