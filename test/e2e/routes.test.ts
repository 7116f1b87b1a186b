import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '#cloud/quickstart/free-port.js';
import type { Daemon } from '#cloud/quickstart/program.js';
import { ownPort } from '../support/own-port.js';
import { repository, World } from '../support/world.js';

const digits = join(repository, 'modules/digits');

const watcher = `
schema: 1
name: watcher
flavor: node
entry: score.mjs
models: [{ name: digits, file: model.onnx }]
routes:
  readings: { from: { topic: plant/+/vibration }, to: { input: amlInput } }
  posted: { from: { http: readings }, to: { input: amlInput } }
  alarms: { from: { output: alarms }, to: { topic: plant/alarms } }
  alarms-to-cloud: { from: { output: alarms }, to: { cloud: event } }
`;

const watcherScript = `
export function run(input, context) {
  if (input.level > 3) context.emit('alarms', { level: input.level, where: context.source ?? 'posted' });
  return { ok: true };
}
`;

describe('routes, with built programs', () => {
  let world: World;
  let agent: Daemon;
  let port: number;
  let mqttPort: number;
  let client: MqttClient;
  const heard: unknown[] = [];

  beforeAll(async () => {
    mqttPort = await ownPort();
    world = await World.create({ agents: { FLOTILLA_AGENT_MQTT_PORT: String(mqttPort) } });
    port = (await freePort(0)).port;
    await world.open();
    await world.enrol('cam-1');
    agent = await world.startAgent('cam-1', port);
    const folder = join(world.folder, 'watcher');
    await mkdir(folder);
    await copyFile(join(digits, 'model.onnx'), join(folder, 'model.onnx'));
    await writeFile(join(folder, 'module.yaml'), watcher);
    await writeFile(join(folder, 'score.mjs'), watcherScript);
    for (const module of [digits, folder]) await world.flotilla('image', 'build', module);
    for (const image of ['digits:1', 'watcher:1']) {
      await world.flotilla('deploy', image, '--device', 'cam-1', '--probation', '0', '--timeout', '60s');
    }
  });
  afterAll(async () => {
    await client?.endAsync(true);
    await world.close();
  });

  it('answers a picture that is dropped in a folder, in a file', async () => {
    const folder = join(world.folder, 'cam-1/incoming/digits');
    await mkdir(folder, { recursive: true });
    await copyFile(join(digits, 'fixtures/pictures/three.jpg'), join(folder, 'three.jpg'));
    await writeFile(join(folder, 'broken.png'), 'no picture');
    const file = join(world.folder, 'cam-1/answers/digits/answers.jsonl');
    const line = await agent.until('answering the picture', 20_000, () =>
      readFile(file, 'utf8').then(
        (text) => (text.endsWith('\n') ? text : undefined),
        () => undefined,
      ),
    );
    const answer = JSON.parse(line) as { value: { outputs: { name: string; data: number[] }[] } };
    expect(answer).toMatchObject({ source: 'three.jpg', output: 'amlOutput', value: { model_name: 'digits' } });
    expect(answer.value.outputs.find(({ name }) => name === 'label')?.data).toEqual([3]);
    await agent.until('putting both away', 10_000, async () => {
      const left = (await readdir(folder)).filter((name) => name.includes('.'));
      return left.length === 0 ? true : undefined;
    });
    expect(await readdir(join(folder, 'done'))).toEqual(['three.jpg']);
    expect(await readdir(join(folder, 'failed'))).toEqual(['broken.png']);
  });

  it('takes JSON from a local topic, and gives the alarm to a local topic and to the cloud', async () => {
    client = await connectAsync(`mqtt://127.0.0.1:${String(mqttPort)}`, { reconnectPeriod: 0 });
    client.on('message', (_topic, payload) => heard.push(JSON.parse(payload.toString())));
    await client.subscribeAsync('plant/alarms');
    await client.publishAsync('plant/7/vibration', JSON.stringify({ level: 1 }), { qos: 1 });
    await client.publishAsync('plant/7/vibration', JSON.stringify({ level: 5 }), { qos: 1 });
    await agent.until('raising the alarm', 10_000, () => (heard.length > 0 ? true : undefined));
    expect(heard).toEqual([{ level: 5, where: 'plant/7/vibration' }]);
    await agent.until('telling the cloud', 10_000, async () => {
      const events = await world.flotilla('device', 'events', 'cam-1', '-n', '20');
      return /alarms: \{"level":5,"where":"plant\/7\/vibration"\}/.test(events) ? true : undefined;
    });
  });

  it('takes what is posted to the scoring port, queued, for who may score', async () => {
    const post = (path: string, body: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${String(port)}/routes/${path}`, { method: 'POST', body });
    const queued = await post('watcher/readings', '{"level": 9}');
    expect(queued.status).toBe(202);
    expect(await queued.json()).toEqual({ queued: true });
    expect((await post('watcher/nothing', '{}')).status).toBe(404);
    await agent.until('raising the second alarm', 10_000, () => (heard.length > 1 ? true : undefined));
    expect(heard[1]).toEqual({ level: 9, where: 'posted' });
  });

  it('counts each route, for who asks the device', async () => {
    const status = JSON.parse(await world.agentCommand('cam-1', 'status', '--output', 'json')) as {
      routes: { module: string; route: string; counts: object }[];
    };
    const counts = Object.fromEntries(status.routes.map(({ module, route, counts }) => [`${module}.${route}`, counts]));
    expect(counts).toMatchObject({
      'digits.pictures': { in: 2, out: 1, dropped: { undecodable: 1 } },
      'digits.answers': { in: 1, out: 1, dropped: {} },
      'watcher.readings': { in: 2, out: 2, dropped: {} },
      'watcher.posted': { in: 1, out: 1, dropped: {} },
      'watcher.alarms': { in: 2, out: 2, dropped: {} },
    });
    expect(await world.agentCommand('cam-1', 'status')).toMatch(
      /digits\.pictures: folder digits\/\* -> input amlInput; in 2, out 1/,
    );
  });
});
