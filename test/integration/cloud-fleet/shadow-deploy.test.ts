import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Desired, restartPolicySchema, updatePolicySchema } from '#shared/protocol/desired.js';
import { emptyReportedState } from '#shared/protocol/reported.js';
import { shadowRuleSchema } from '#shared/protocol/shadow.js';
import { imagesOf } from '#cloud/fleet/desired-document.js';
import { openStoredDesired } from '#cloud/fleet/desired-envelope.js';
import { type ShadowOrder, ShadowTwin } from '#cloud/fleet/shadow-twin.js';
import { ImageRepository } from '#cloud/store/image-repository.js';
import { addressOf, bytesOf, capabilities, FleetWorld, type TestImage } from '#test/support/fleet-world.js';

const d = addressOf('d');
const policy = restartPolicySchema.parse({});
let world: FleetWorld;
let shadows: ShadowTwin;
let first: TestImage;
let second: TestImage;

beforeEach(async () => {
  world = await FleetWorld.open();
  await world.enrol('d');
  first = await world.addImage('digits', 1, [bytesOf(10, 1)]);
  second = await world.addImage('digits', 2, [bytesOf(10, 2)]);
  shadows = new ShadowTwin({
    ...{ db: world.control, twin: world.twin, clock: world.clock },
    onCommitted: () => undefined,
  });
  await says(['shadow']);
});
afterEach(() => world.close());

const says = async (features: string[] | undefined): Promise<void> => {
  const state = { ...emptyReportedState, capabilities: { ...capabilities, ...(features ? { features } : {}) } };
  await world.devices.update(d, { reportedJson: JSON.stringify(state) });
};
const beside = (image: string, more: object = {}): ShadowOrder => ({
  ...{ image, settings: {} },
  rule: shadowRuleSchema.parse(more),
});
const document = async (): Promise<Desired> => openStoredDesired((await world.twin.storedDesired(d)) ?? '');
const deploy = (image: string) => world.twin.deploy(d, 'digits', { image, settings: {}, policy });

describe('a shadow of a deployed module', () => {
  it('stands in the next generation beside the module, and may be fetched', async () => {
    await deploy('digits:1');
    const generation = await shadows.put(d, 'digits', beside('digits:2', { percent: 10, compare: { kind: 'top-1' } }));
    const desired = await document();
    expect(desired).toMatchObject({ generation, modules: { digits: { image: { version: 1 } } } });
    expect(desired.modules['digits']?.shadow).toMatchObject({
      ...{ image: { version: 2, digest: second.digest }, percent: 10, compare: { kind: 'top-1' } },
    });
    expect(imagesOf(desired).map(({ digest }) => digest)).toEqual([first.digest, second.digest]);
    expect(await new ImageRepository(world.control).delete(d.workspace, second.digest, 'now')).toMatchObject({
      kind: 'in-use',
    });
  });

  it('leaves the device the release that it has', async () => {
    const image = { name: 'digits', version: 1, digest: first.digest };
    const module = {
      module: 'digits',
      image,
      settings: {},
      policy,
      update: updatePolicySchema.parse({}),
      requires: {},
    };
    await world.twin.deployRelease(d, { name: 'vision', version: 1, atomic: false, modules: [module] });
    await shadows.put(d, 'digits', beside('digits:2'));
    expect(await document()).toMatchObject({ release: 'vision:1' });
  });

  it('ends with what was compared: when it takes over, when the module goes, and by a word', async () => {
    await deploy('digits:1');
    await shadows.put(d, 'digits', beside('digits:2'));
    await deploy('digits:2');
    expect((await document()).modules['digits']?.shadow).toBeUndefined();
    await shadows.put(d, 'digits', beside('digits:1'));
    await shadows.end(d, 'digits');
    expect((await document()).modules['digits']).toMatchObject({ image: { version: 2 } });
    expect((await document()).modules['digits']?.shadow).toBeUndefined();
    await expect(shadows.end(d, 'digits')).rejects.toMatchObject({ code: 'shadow.not-found' });
    await shadows.put(d, 'digits', beside('digits:1'));
    await world.twin.undeploy(d, 'digits');
    await deploy('digits:2');
    expect((await document()).modules['digits']?.shadow).toBeUndefined();
  });

  it('is never sent to an agent that would refuse the whole document for it', async () => {
    await deploy('digits:1');
    await says(undefined);
    await expect(shadows.put(d, 'digits', beside('digits:2'))).rejects.toMatchObject({ code: 'shadow.unsupported' });
    expect((await document()).modules['digits']?.shadow).toBeUndefined();
  });

  it('is refused where there is nothing to compare with, or nothing to compare', async () => {
    await expect(shadows.put(d, 'digits', beside('digits:2'))).rejects.toMatchObject({ code: 'module.not-found' });
    await deploy('digits:1');
    await expect(shadows.put(d, 'digits', beside('digits:1'))).rejects.toMatchObject({ code: 'request.invalid' });
    await expect(shadows.put(d, 'digits', beside('digits:3'))).rejects.toMatchObject({ code: 'image.not-found' });
  });
});
