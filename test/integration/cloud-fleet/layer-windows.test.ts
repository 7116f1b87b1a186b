import { afterEach, beforeEach, expect, it } from 'vitest';
import { restartPolicySchema, updatePolicySchema } from '#shared/protocol/desired.js';
import { LayerOffice } from '#cloud/fleet/layers/layer-office.js';
import { addressOf, bytesOf, FleetWorld } from '#test/support/fleet-world.js';

const d = addressOf('d');
let world: FleetWorld;

beforeEach(async () => {
  world = await FleetWorld.open();
  await world.enrol('d');
});
afterEach(() => world.close());

it('what a layer puts on a device heeds the windows of the rollout below it, also when the layer changes later', async () => {
  const { digest } = await world.addImage('detector', 1, [bytesOf(10, 1)]);
  const { control: db, twin, clock } = world;
  const office = new LayerOffice({ db, twin, clock, onCommitted: () => undefined });
  const save = (gain: number, staged: boolean): Promise<unknown> =>
    office.save({ workspace: 'w', name: 'extra', dryRun: false }, () => ({
      ...{ where: 'name = "d"', description: '', priority: 1, staged },
      modules: { added: { image: 'detector:1', settings: { gain } } },
    }));
  const windows = [{ cron: '0 2 * * *', durationSeconds: 3600 }];
  const added = async () => (await world.deployments.listCurrentOf(d)).find(({ module }) => module === 'added');

  await save(1, true);
  expect(await added()).toBeUndefined();
  const update = updatePolicySchema.parse({ windows });
  const below = { module: 'm', image: { name: 'detector', version: 1, digest }, settings: {}, update, requires: {} };
  const modules = [{ ...below, policy: restartPolicySchema.parse({}) }];
  await db
    .transaction()
    .execute((within) => twin.deploySetWithin(within, d, { modules, atomic: false, windows }, 'v:1'));
  expect(await added()).toMatchObject({ settings: { gain: 1 }, update: { windows } });
  await save(2, false);
  expect(await added()).toMatchObject({ settings: { gain: 2 }, update: { windows } });
});
