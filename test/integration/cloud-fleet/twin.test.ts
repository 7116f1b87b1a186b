import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifyEnvelope } from '#shared/package/dsse.js';
import { judgeDesired } from '#shared/protocol/desired-acceptance.js';
import { type Desired, desiredSchema, restartPolicySchema } from '#shared/protocol/desired.js';
import { envelopeSchema, payloadTypes } from '#shared/protocol/envelope.js';
import { desiredLifetimeMs } from '#cloud/fleet/desired-document.js';
import { addressOf, bytesOf, FleetWorld, type TestImage } from '#test/support/fleet-world.js';

const policy = restartPolicySchema.parse({});
const d = addressOf('d');

describe('the desired side of a twin', () => {
  let world: FleetWorld;
  let image: TestImage;
  beforeEach(async () => {
    world = await FleetWorld.open();
    await world.enrol('d');
    image = await world.addImage('digits', 1, [bytesOf(10, 1)]);
  });
  afterEach(() => world.close());

  const deploy = (module = 'digits', reference = 'digits:1', settings: Desired['modules'][string]['settings'] = {}) =>
    world.twin.deploy(d, module, { image: reference, settings, policy });

  const lastDocument = async (): Promise<Desired> => {
    const rows = await world.outbox.newestOfTopics(10);
    const envelope = envelopeSchema.parse(JSON.parse(rows.at(-1)?.payload ?? ''));
    const verified = verifyEnvelope(envelope, payloadTypes.desired, [world.director.publicKey]);
    if (!verified.ok) throw new Error(verified.error.message);
    return desiredSchema.parse(JSON.parse(Buffer.from(verified.value.payload).toString()));
  };

  it('carries a deployment as a signed document with the next generation, in the outbox of the same commit', async () => {
    expect(await deploy()).toBe(1);
    expect(world.committed).toBe(1);
    const document = await lastDocument();
    expect(document).toMatchObject({ workspace: 'w', device: 'd', generation: 1 });
    expect(document.modules['digits']?.image).toMatchObject({ name: 'digits', version: 1, digest: image.digest });
    expect(Date.parse(document.expiresAt) - Date.parse(document.issuedAt)).toBe(desiredLifetimeMs);
    expect((await world.outbox.newestOfTopics(10))[0]).toMatchObject({
      topic: 'flotilla/v1/w/d/desired',
      qos: 1,
      retain: true,
    });
    expect(world.seen.map(({ type }) => type)).toContain('deployment.changed');
  });

  it('replaces a module of the same name, keeps the others, and rises with every change', async () => {
    const second = await world.addImage('digits', 2, [bytesOf(10, 2)]);
    await deploy('digits');
    await deploy('other');
    expect(await deploy('digits', second.digest)).toBe(3);
    const document = await lastDocument();
    expect(Object.keys(document.modules)).toEqual(['digits', 'other']);
    expect(document.modules['digits']?.image.version).toBe(2);
    expect(await world.twin.undeploy(d, 'digits')).toBe(4);
    expect(Object.keys((await lastDocument()).modules)).toEqual(['other']);
  });

  it('rises above a generation that the device has reported, as after a restored backup', async () => {
    await deploy();
    await world.devices.update(d, { desiredGeneration: 41 });
    expect(await world.twin.storedDesired(d)).toBeUndefined();
    expect(await deploy()).toBe(42);
    expect(await world.twin.storedDesired(d)).toBeDefined();
  });

  it.each([
    ['an unknown image', () => deploy('digits', 'digits:9'), 'image.not-found'],
    ['an image of another workspace', () => deploy('digits', 'theirs:1'), 'image.not-found'],
    [
      'an unknown device',
      () => world.twin.deploy(addressOf('nobody'), 'm', { image: 'digits:1', settings: {}, policy }),
      'device.not-found',
    ],
    ['a module that is not deployed', () => world.twin.undeploy(d, 'digits'), 'module.not-found'],
    ['a document above 64 KiB', () => deploy('digits', 'digits:1', { big: 'x'.repeat(60_000) }), 'desired.too-large'],
  ])('refuses %s and changes nothing', async (_what, act, code) => {
    await world.addImage('theirs', 1, [bytesOf(10, 3)], 'other');
    await expect(act()).rejects.toMatchObject({ code });
    expect(await world.outbox.count()).toBe(0);
    expect((await world.devices.find(d))?.desiredGeneration).toBe(0);
    expect((await world.deployments.listCurrent('w', ['d'])).size).toBe(0);
  });

  it('refuses everything for a retired device, frees its images, and clears what the broker keeps', async () => {
    await deploy();
    await world.twin.retire(d);
    await expect(deploy()).rejects.toMatchObject({ code: 'device.retired' });
    await expect(world.twin.retire(d)).rejects.toMatchObject({ code: 'device.retired' });
    expect((await world.deployments.listCurrent('w', ['d'])).size).toBe(0);
    expect((await world.outbox.newestOfTopics(10)).map(({ payload }) => payload)).toEqual(['']);
    expect(await world.twin.storedDesired(d)).toBeUndefined();
  });

  it('renews a document before it ends: the same generation and content, issued later', async () => {
    await deploy();
    const before = await lastDocument();
    expect(await world.twin.renewExpiring(10)).toBe(0);
    world.clock.nowMs += desiredLifetimeMs / 2 + 1;
    expect(await world.twin.renewExpiring(10)).toBe(1);
    const after = await lastDocument();
    expect(judgeDesired(after, before, d)).toEqual({ kind: 'renew' });
    expect(Date.parse(after.expiresAt)).toBe(world.clock.nowMs + desiredLifetimeMs);
    expect(await world.twin.renewExpiring(10)).toBe(0);
  });

  it('gives deployments made at the same moment a generation each', async () => {
    const generations = await Promise.all(['a', 'b', 'c', 'e'].map((module) => deploy(module)));
    expect([...generations].sort()).toEqual([1, 2, 3, 4]);
    expect(Object.keys((await lastDocument()).modules)).toEqual(['a', 'b', 'c', 'e']);
  });
});
