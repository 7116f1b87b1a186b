import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Daemon } from '#cloud/quickstart/program.js';
import { openTerminal, type PageBlock, printedPattern, readPage, type Terminal } from '../support/doc-page.js';
import { hasOutsideTools } from '../support/outside-tool.js';
import { ownPort } from '../support/own-port.js';
import { repository, World } from '../support/world.js';

const pageOf = (name: string): Promise<PageBlock[]> => readPage(join(repository, 'docs', name));
const folderPage = await pageOf('camera-folder.md');
const mqttPage = await pageOf('answers-over-mqtt.md');

let world: World;
let agent: Daemon;
let terminal: Terminal;

beforeAll(async () => {
  const mqttPort = String(await ownPort());
  world = await World.create({ operatorInProcess: true, agents: { FLOTILLA_AGENT_MQTT_PORT: mqttPort } });
  const port = await ownPort();
  await world.open();
  await world.enrol('cam-1');
  agent = await world.startAgent('cam-1', port);
  const programs = join(world.folder, 'bin');
  await mkdir(programs);
  for (const [name, main] of [
    ['flotilla', 'cloud/cli/main.js'],
    ['flotilla-agent', 'agent/cli/main.js'],
  ] as const) {
    const start = `#!/bin/sh\nexec '${process.execPath}' '${join(repository, 'dist', main)}' "$@"\n`;
    await writeFile(join(programs, name), start, { mode: 0o755 });
  }
  const path = `${programs}:${process.env['PATH'] ?? ''}`;
  const env = { ...world.operator, ...world.agentEnvironment('cam-1', port), PATH: path };
  terminal = openTerminal(repository, env, {
    // First: what the others put in has it too.
    '/tmp/': `${world.folder}/`,
    '~/.local/state/flotilla-agent': join(world.folder, 'cam-1'),
    ':8800': `:${String(port)}`,
    '-p 1883': `-p ${mqttPort}`,
  });
});
afterAll(async () => {
  await terminal?.close();
  await world.close();
});

let broken: PageBlock | undefined;

/** What follows on a block that failed would wait for what never comes. */
async function typed(block: PageBlock): Promise<void> {
  if (broken !== undefined) throw new Error(`the block at line ${String(broken.line)} failed before`);
  broken = block;
  const printed = await terminal.type(block);
  if (block.expected !== undefined) expect(printed).toMatch(printedPattern(block.expected));
  broken = undefined;
}

describe('the page "feed a camera folder"', () => {
  it.each(folderPage)('works at line $line', typed);
});

describe.skipIf(!hasOutsideTools('mosquitto_pub', 'mosquitto_sub'))('the page "read answers over MQTT"', () => {
  it.each(mqttPage)('works at line $line', typed);
});

describe('routes that do not fit together', () => {
  it('are refused when they are deployed, with the circle, and the device goes on as it was', async () => {
    const there = 'a={ from: { output: amlOutput }, to: { topic: round } }';
    const back = 'b={ from: { topic: round }, to: { input: amlInput } }';
    await expect(
      world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--route', there, '--route', back),
    ).rejects.toThrow(/route\.invalid: route a of module digits: it goes in a circle: digits\.a -> round -> digits\.b/);
    const status = await agent.until('telling', 5_000, () => world.agentCommand('cam-1', 'status'));
    expect(status).toMatch(/digits\.pictures/);
  });
});
