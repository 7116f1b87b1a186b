import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifyEnvelope } from '#shared/package/dsse.js';
import { type Desired, desiredSchema, restartPolicySchema, updatePolicySchema } from '#shared/protocol/desired.js';
import { envelopeSchema, payloadTypes } from '#shared/protocol/envelope.js';
import { emptyReportedState } from '#shared/protocol/reported.js';
import { imagesOf } from '#cloud/fleet/desired-document.js';
import type { ReleasedModule } from '#cloud/fleet/release-plan.js';
import type { ReleaseDeployment } from '#cloud/fleet/module-deployment.js';
import { insertVariants } from '#cloud/store/image-variants.js';
import { addressOf, bytesOf, capabilities, FleetWorld, type TestImage } from '#test/support/fleet-world.js';

const d = addressOf('d');
let world: FleetWorld;
let images: Record<string, TestImage>;

beforeEach(async () => {
  world = await FleetWorld.open();
  await world.enrol('d');
  images = {};
  for (const [name, version] of [
    ['detector', 1],
    ['detector', 2],
    ['tracker', 1],
  ] as const) {
    images[`${name}:${String(version)}`] = await world.addImage(name, version, [bytesOf(10, version)]);
  }
});
afterEach(() => world.close());

const released = (module: string, reference: string, settings: ReleasedModule['settings'] = {}): ReleasedModule => {
  const [name = '', version] = reference.split(':');
  const digest = images[reference]?.digest ?? '';
  return {
    ...{ module, image: { name, version: Number(version), digest }, settings, requires: {} },
    ...{ policy: restartPolicySchema.parse({}), update: updatePolicySchema.parse({}) },
  };
};

const release = (version: number, modules: ReleasedModule[], atomic = false): ReleaseDeployment => ({
  ...{ name: 'vision', version, atomic, modules },
});

/** An index of two images takes the place of one. */
async function makeIndex(reference: string): Promise<string> {
  const index = images[reference]?.digest ?? '';
  await world.control.updateTable('images').set({ flavor: 'index' }).where('digest', '=', index).execute();
  const [gpu, cpu] = [images['detector:2']?.digest ?? '', images['tracker:1']?.digest ?? ''];
  await insertVariants(world.control, d.workspace, index, [
    { name: 'detector', digest: gpu, size: 1, accelerator: 'gpu', precision: 'fp16', providers: ['cuda'] },
    { name: 'tracker', digest: cpu, size: 1, accelerator: 'cpu', precision: 'int8', providers: ['cpu'] },
  ]);
  return index;
}
/** The agent names what it knows. */
const knows = async (...features: string[]): Promise<void> => {
  const state = { ...emptyReportedState, capabilities: { ...capabilities, features } };
  await world.devices.update(d, { reportedJson: JSON.stringify(state) });
};

const document = async (): Promise<Desired> => {
  const envelope = envelopeSchema.parse(JSON.parse((await world.twin.storedDesired(d)) ?? ''));
  const verified = verifyEnvelope(envelope, payloadTypes.desired, [world.director.publicKey]);
  if (!verified.ok) throw new Error(verified.error.message);
  return desiredSchema.parse(JSON.parse(Buffer.from(verified.value.payload).toString()));
};

describe('a release on a device', () => {
  it('is one generation: its modules and no others, signed under its name', async () => {
    const policy = restartPolicySchema.parse({});
    await world.twin.deploy(d, 'old', { image: 'tracker:1', settings: {}, policy });
    const { generation } = await world.twin.deployRelease(
      d,
      release(1, [released('detector', 'detector:1'), released('tracker', 'tracker:1', { gain: 2 })]),
    );
    const desired = await document();
    expect(desired).toMatchObject({ generation, release: 'vision:1' });
    expect(Object.keys(desired.modules)).toEqual(['detector', 'tracker']);
    expect(desired.modules['tracker']?.settings).toEqual({ gain: 2 });
    expect(desired.modules['detector']?.image.digest).toBe(images['detector:1']?.digest);
  });

  it('names what an index stands for, with the signatures of now, and is far below what a document may be', async () => {
    const index = await makeIndex('detector:1');
    const [gpu, cpu] = [images['detector:2']?.digest ?? '', images['tracker:1']?.digest ?? ''];
    await knows('variants');
    await world.twin.deployRelease(d, release(1, [released('eye', 'detector:1')]));
    const desired = await document();
    expect(desired.modules['eye']?.image.digest).toBe(index);
    expect(desired.modules['eye']?.variants).toMatchObject([
      { image: { name: 'detector', version: 2, digest: gpu }, accelerator: 'gpu', precision: 'fp16' },
      { image: { name: 'tracker', version: 1, digest: cpu }, providers: ['cpu'] },
    ]);
    expect(imagesOf(desired).map(({ digest }) => digest)).toEqual([index, gpu, cpu]);
    expect(JSON.stringify(desired.modules['eye']?.variants).length).toBeLessThan(2 * 400);
  });

  it('is refused where the agent would refuse the document for what it does not know, and is taken once it does', async () => {
    await makeIndex('detector:1');
    const indexed = release(1, [released('eye', 'detector:1')]);
    const ordered = release(1, [
      { ...released('detector', 'detector:2'), startAfter: ['tracker'] },
      released('tracker', 'tracker:1'),
    ]);
    for (const [wanted, feature] of [
      [indexed, 'variants'],
      [ordered, 'startAfter'],
    ] as const) {
      await knows('shadow');
      const refusal = { code: 'device.unsupported', details: { feature } };
      await expect(world.twin.deployRelease(d, wanted)).rejects.toMatchObject(refusal);
      expect(await world.twin.storedDesired(d)).toBeUndefined();
    }
    await knows('variants', 'startAfter');
    await world.twin.deployRelease(d, ordered);
    expect((await document()).modules['detector']?.startAfter).toEqual(['tracker']);
  });

  it('leaves what it has already as it was, and changes what differs', async () => {
    await world.twin.deployRelease(
      d,
      release(1, [released('detector', 'detector:1'), released('tracker', 'tracker:1')], true),
    );
    const group = (await document()).modules['tracker']?.update?.atomic;
    expect(group).toBeDefined();
    const { changes } = await world.twin.deployRelease(
      d,
      release(2, [released('detector', 'detector:2'), released('tracker', 'tracker:1')]),
    );
    expect(changes.map(({ module, change }) => [module, change])).toEqual([
      ['detector', 'changed'],
      ['tracker', 'kept'],
    ]);
    const { modules, release: name } = await document();
    expect(name).toBe('vision:2');
    expect(modules['detector']?.image.version).toBe(2);
    expect(modules['detector']?.update?.atomic).toBeUndefined();
    expect(modules['tracker']?.update?.atomic).toBe(group);
  });

  it('stays its name through renewal and a restored backup, and ends with the first change by hand', async () => {
    await world.twin.deployRelease(d, release(1, [released('detector', 'detector:1')]));
    await world.twin.renew(d);
    expect((await document()).release).toBe('vision:1');
    await world.twin.reissue(d, 7);
    expect(await document()).toMatchObject({ release: 'vision:1', generation: 8 });
    await world.twin.undeploy(d, 'detector');
    expect((await document()).release).toBeUndefined();
  });

  it('is refused whole for a device that is not there or retired, and where an image is gone', async () => {
    const wanted = release(1, [released('detector', 'detector:1'), released('tracker', 'tracker:1')]);
    await expect(world.twin.deployRelease(addressOf('nobody'), wanted)).rejects.toMatchObject({
      code: 'device.not-found',
    });
    await expect(world.twin.planRelease(addressOf('nobody'), wanted)).rejects.toMatchObject({
      code: 'device.not-found',
    });
    await world.control.updateTable('images').set({ deletedAt: 'now' }).where('name', '=', 'tracker').execute();
    await expect(world.twin.deployRelease(d, wanted)).rejects.toMatchObject({ code: 'image.not-found' });
    expect(await world.deployments.listCurrentOf(d)).toEqual([]);
    expect(await world.devices.find(d)).toMatchObject({ desiredGeneration: 0, desiredRelease: '' });
    await world.twin.retire(d);
    await expect(world.twin.deployRelease(d, wanted)).rejects.toMatchObject({ code: 'device.retired' });
  });
});
