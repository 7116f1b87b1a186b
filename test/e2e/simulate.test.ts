import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SimulationCounts } from '#shared/protocol/simulation.js';
import { repository, World } from '../support/world.js';

const devices = 30;

interface Noted {
  readonly device: string;
  readonly did: string;
  readonly generation?: number;
  readonly release?: string;
}

let world: World;
beforeAll(async () => {
  world = await World.create();
  await world.open();
  const module = join(repository, 'modules/digits');
  await world.flotilla('model', 'register', join(module, 'model.onnx'), '--name', 'digits');
  await world.flotilla('image', 'build', module, '--model', 'digits:1');
  await world.flotilla('release', 'create', 'vision', '--module', 'digits:1');
  await world.flotilla('fleet', 'create', 'sim', '--where', 'simulated = "yes"');
});
afterAll(() => world.close());

it('a simulated fleet goes through a rollout while the control plane is killed: each device is asked once, none is lost', async () => {
  const log = join(world.folder, 'log');
  const simulated = world.start(
    'flotilla',
    [
      'simulate',
      '--devices',
      String(devices),
      '--processes',
      '2',
      '--log',
      log,
      '--telemetry',
      '1s',
      '--output',
      'json',
    ],
    world.operator,
  );
  await simulated.until('connected', 30_000, () =>
    simulated.output.includes(`${String(devices)} enrolled, ${String(devices)} connected`) ? true : undefined,
  );
  await world.flotilla('rollout', 'start', '--release', 'vision:1', '--fleet', 'sim');
  const noted = async (): Promise<Noted[]> => {
    const texts = await Promise.all(
      ['devices-0.jsonl', 'devices-1.jsonl'].map((name) => readFile(join(log, name), 'utf8').catch(() => '')),
    );
    const lines = texts.flatMap((text) => text.split('\n').slice(0, -1));
    return lines.map((line) => JSON.parse(line) as Noted);
  };
  const asked = async (): Promise<Noted[]> => (await noted()).filter(({ did }) => did === 'accepted');
  await simulated.until('in the second wave', 20_000, async () => ((await asked()).length > 2 ? true : undefined));
  world.cloud?.kill('SIGKILL');
  await world.cloud?.exited;
  await world.startCloud();

  let state = '';
  for (const end = performance.now() + 60_000; state !== 'succeeded' && performance.now() < end; await sleep(250)) {
    ({ state } = (await (
      await fetch(`${world.url}/v1/workspaces/default/rollouts/1`, {
        headers: { authorization: `Bearer ${world.ownerToken}` },
      })
    ).json()) as { state: string });
  }
  expect(state).toBe('succeeded');

  const documents = await asked();
  expect(documents.map(({ device }) => device).sort()).toEqual(
    Array.from({ length: devices }, (_, number) => `sim-${String(number).padStart(5, '0')}`),
  );
  expect(new Set(documents.map(({ release, generation }) => `${release ?? ''} ${String(generation)}`))).toEqual(
    new Set(['vision:1 1']),
  );
  simulated.kill('SIGINT');
  expect(await simulated.exited).toBe('0');
  const counts = JSON.parse(simulated.output.slice(simulated.output.indexOf('{\n'))) as SimulationCounts;
  expect(counts).toMatchObject({ devices, enrolled: devices, converged: devices, rejected: 0, refused: 0 });
  expect(counts.stored).toBeGreaterThan(0);
}, 120_000);
