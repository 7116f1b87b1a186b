import { join, resolve } from 'node:path';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RunningAgent } from '#agent/main.js';
import { updatePolicySchema } from '#shared/protocol/desired.js';
import { buildModule, type BuiltModule, enrolledFolder, removeFolder, run } from '#test/support/agent/agent-harness.js';
import { FakeCloud, until } from '#test/support/agent/fake-cloud.js';

const digits = resolve(dirname(fileURLToPath(import.meta.url)), '../../../modules/digits');
const hourMs = 3_600_000;

let cloud: FakeCloud;
let folder: string;
let agent: RunningAgent;
const models: BuiltModule[] = [];
beforeAll(async () => {
  cloud = await FakeCloud.start();
  folder = await enrolledFolder(cloud);
  const layout = join(folder, 'layout');
  cloud.layouts.push(layout);
  const { publisher } = cloud;
  models.push(await buildModule({ moduleFolder: digits, layout, publisher }));
  const second = { digits: join(digits, 'model-v2.onnx') };
  const goldenFile = join(digits, 'golden-v2.json');
  models.push(await buildModule({ moduleFolder: digits, layout, publisher, version: 2, models: second, goldenFile }));
  agent = await run(folder);
});
afterAll(async () => {
  await agent.stop();
  await cloud.close();
  await removeFolder(folder);
});

const module = (index: number, update: object = {}) => ({
  digits: { ...(models[index] as BuiltModule).module, update: updatePolicySchema.parse(update) },
});
const active = () => cloud.state.modules['digits']?.active?.version;

it('a device holds what it prefetches, proves it, and switches only when its window opens', async () => {
  const image = (models[1] as BuiltModule).module.image;
  cloud.publishDesired({ ...cloud.desiredOf(1, module(0)), prefetch: [image] });
  await until('it holds it', () => cloud.state.prefetched?.includes(image.digest) === true && active() === 1, 20_000);
  expect(cloud.state.capabilities?.timeZone).toMatch(/./);

  // In twelve hours, by whatever zone this machine is in.
  const opens = new Date(Math.ceil(Date.now() / hourMs) * hourMs + 12 * hourMs);
  const cron = `${String(opens.getUTCMinutes())} ${String(opens.getUTCHours())} * * *`;
  const windows = [{ cron, durationSeconds: 60, timeZone: 'UTC' }];
  cloud.publishDesired(cloud.desiredOf(2, module(1, { windows })));
  await until('it waits', () => cloud.state.modules['digits']?.window !== undefined, 20_000);
  expect(cloud.state.modules['digits']).toMatchObject({
    active: { version: 1, state: 'running' },
    candidate: { version: 2, state: 'proving' },
    window: { opensAt: opens.toISOString() },
  });
  expect(cloud.state.prefetched).toBeUndefined();

  cloud.publishDesired(cloud.desiredOf(3, module(1, { windows: [{ cron: '* * * * *', durationSeconds: 60 }] })));
  await until('it switched', () => cloud.state.converged && active() === 2, 20_000);
  expect(cloud.state.modules['digits']?.window).toBeUndefined();
});
