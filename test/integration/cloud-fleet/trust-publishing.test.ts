import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifyEnvelope } from '#shared/package/dsse.js';
import { generateSigningKey } from '#shared/package/signing-key.js';
import { restartPolicySchema } from '#shared/protocol/desired.js';
import { type Envelope, envelopeSchema, payloadTypes } from '#shared/protocol/envelope.js';
import { DesiredUpkeep } from '#cloud/fleet/desired-upkeep.js';
import { DirectorKeys } from '#cloud/trust/director-keys.js';
import { DirectorRotation } from '#cloud/trust/director-rotation.js';
import { KeySeal } from '#cloud/trust/sealed-key.js';
import { TrustChain } from '#cloud/trust/trust-chain.js';
import { TrustPublishing } from '#cloud/trust/trust-publishing.js';
import { addressOf, bytesOf, FleetWorld } from '#test/support/fleet-world.js';
import { signTrust, somePem, trustDocument } from '#test/support/trust-documents.js';

const publisher = generateSigningKey();
const stranger = generateSigningKey();

describe('trust documents that are published', () => {
  let world: FleetWorld;
  let publishing: TrustPublishing;
  const first = () => trustDocument(1, [publisher], [world.director]);

  beforeEach(async () => {
    world = await FleetWorld.open();
    publishing = new TrustPublishing({
      db: world.control,
      chain: new TrustChain(world.control),
      devices: world.devices,
      outbox: world.outbox,
      installation: () => ({ directors: [world.director.publicKey], authorities: [somePem('authority')] }),
      clock: world.clock,
      onCommitted: () => undefined,
    });
  });
  afterEach(() => world.close());

  it('are kept in order, handed to every device, and served from any version on', async () => {
    await world.enrol('d');
    await publishing.publish('w', signTrust(first(), publisher));
    await publishing.publish('w', signTrust(trustDocument(2, [publisher, stranger], [world.director]), publisher));
    expect(await world.outbox.newestOfTopics(10)).toMatchObject([
      { topic: 'flotilla/v1/w/d/trust/data', retain: false },
    ]);
    const versions = async (after: number): Promise<unknown> => {
      const { newest, envelopes } = await publishing.answer(addressOf('d'), after);
      return [newest, envelopes.length];
    };
    expect(await versions(0)).toEqual([2, 2]);
    expect(await versions(1)).toEqual([2, 1]);
    expect(await versions(2)).toEqual([2, 0]);
    expect((await publishing.answer(addressOf('d', 'other'), 0)).newest).toBe(0);
  });

  it('are the same when the newest comes again', async () => {
    const envelope = signTrust(first(), publisher);
    expect(await publishing.publish('w', envelope)).toBe(1);
    expect(await publishing.publish('w', envelope)).toBe(1);
  });

  it.each([
    [
      'that nobody of the version before signed',
      () => signTrust(trustDocument(2, [stranger], [world.director]), stranger),
      'signature.unknown-key',
    ],
    ['that skips a version', () => signTrust(trustDocument(3, [publisher], [world.director]), publisher), 'trust.gap'],
    [
      'of another workspace',
      () => signTrust(trustDocument(2, [publisher], [world.director], { workspace: 'other' }), publisher),
      'trust.wrong-workspace',
    ],
    [
      'that no device would obey this control plane by',
      () => signTrust(trustDocument(2, [publisher], [stranger]), publisher),
      'trust.invalid',
    ],
    [
      'by which no device could connect',
      () => signTrust(trustDocument(2, [publisher], [world.director], { authorities: [somePem('x')] }), publisher),
      'trust.invalid',
    ],
    [
      'that is an image statement',
      () => ({ ...signTrust(first(), publisher), payloadType: payloadTypes.image }),
      'trust.invalid',
    ],
  ] as [string, () => Envelope, string][])('are refused, one %s', async (_what, envelope, code) => {
    await publishing.publish('w', signTrust(first(), publisher));
    await expect(publishing.publish('w', envelope())).rejects.toMatchObject({ code });
    expect((await publishing.answer(addressOf('d'), 0)).newest).toBe(1);
  });

  it('fit a message, however many there are', async () => {
    const authorities = [somePem('authority'), ...[1, 2, 3].map((n) => somePem(bytesOf(1900, n).toString('latin1')))];
    for (let version = 1; version <= 20; version++) {
      await publishing.publish(
        'w',
        signTrust(trustDocument(version, [publisher], [world.director], { authorities }), publisher),
      );
    }
    let after = 0;
    for (let questions = 0; after < 20 && questions < 20; questions++) {
      const data = await publishing.answer(addressOf('d'), after);
      expect(Buffer.byteLength(JSON.stringify(data))).toBeLessThanOrEqual(128 * 1024);
      expect(data.envelopes.length).toBeGreaterThan(0);
      after += data.envelopes.length;
    }
    expect(after).toBe(20);
  });
});

describe("the director's next key", () => {
  let world: FleetWorld;
  let folder: string;
  let seal: KeySeal;
  beforeEach(async () => {
    world = await FleetWorld.open();
    folder = join(world.folder, 'keys');
    await mkdir(folder, { recursive: true });
    seal = await KeySeal.open({ keyFile: join(folder, 'at-rest.key') });
  });
  afterEach(() => world.close());

  /** As a control plane starts; what an earlier one held in memory is gone. */
  const open = () => DirectorKeys.open(folder, world.director, seal);

  it('is there again after a kill, signs beside the first, and alone when it has taken its place', async () => {
    const keys = await open();
    const next = await keys.begin();
    const again = await open();
    expect(again.next?.publicKey).toBe(next.publicKey);
    expect(await again.begin()).toBe(again.next);
    const envelope = again.sign(payloadTypes.desired, Buffer.from('{}'));
    for (const key of again.publicKeys()) {
      expect(verifyEnvelope(envelope, payloadTypes.desired, [key]).ok).toBe(true);
    }
    await again.finish();
    expect(again.keyIds()).toEqual([next.keyId]);
    await expect(again.finish()).rejects.toMatchObject({ code: 'trust.not-yet' });
  });

  it('signs what was issued before it; finishing names the devices that do not know it', async () => {
    await world.enrol('d');
    const image = await world.addImage('m', 1, [bytesOf(10, 1)]);
    await world.twin.deploy(addressOf('d'), 'm', {
      image: image.digest,
      settings: {},
      policy: restartPolicySchema.parse({}),
    });
    const keys = await open();
    const twin = world.twinWith(keys);
    const upkeep = new DesiredUpkeep({ db: world.control, twin, director: keys, onError: () => undefined });
    const chain = new TrustChain(world.control);
    const rotation = new DirectorRotation({ db: world.control, keys, chain, resign: () => upkeep.run() });
    const signers = async (): Promise<string[]> => {
      const { envelope, generation } = (await world.devices.findDesired(addressOf('d'))) ?? {};
      expect(generation).toBe(1);
      return envelopeSchema.parse(JSON.parse(envelope ?? '')).signatures.map(({ keyid }) => keyid);
    };
    expect(await signers()).toEqual([world.director.keyId]);
    await rotation.begin();
    expect(new Set(await signers())).toEqual(new Set(keys.keyIds()));
    await expect(rotation.finish(false)).rejects.toMatchObject({
      code: 'trust.not-yet',
      details: { devices: ['w/d'] },
    });

    const listed = trustDocument(1, [publisher], [world.director], { directors: keys.publicKeys() });
    await chain.add('w', { version: 1, envelope: signTrust(listed, publisher) }, '2026-01-01T00:00:00.000Z');
    const state = { generation: 1, converged: true, modules: {}, trust: { version: 1 } };
    await world.devices.update(addressOf('d'), { reportedJson: JSON.stringify(state) });
    await rotation.finish(false);
    expect(await signers()).toEqual(keys.keyIds());
  });

  it('and an image that was signed anew reach a device as a new generation', async () => {
    await world.enrol('d');
    const image = await world.addImage('m', 1, [bytesOf(10, 1)]);
    const policy = restartPolicySchema.parse({});
    await world.twin.deploy(addressOf('d'), 'm', { image: image.digest, settings: {}, policy });
    const upkeep = new DesiredUpkeep({
      db: world.control,
      twin: world.twin,
      director: world.signer,
      onError: () => undefined,
    });
    await upkeep.run();
    expect((await world.devices.findDesired(addressOf('d')))?.generation).toBe(1);
    const signatureDigest = `sha256:${'b'.repeat(64)}`;
    await world.control.updateTable('images').set({ signatureDigest }).where('digest', '=', image.digest).execute();
    await upkeep.run();
    await upkeep.run();
    const side = await world.devices.findDesired(addressOf('d'));
    expect(side?.generation).toBe(2);
    expect(Buffer.from(envelopeSchema.parse(JSON.parse(side?.envelope ?? '')).payload, 'base64').toString()).toContain(
      signatureDigest,
    );
  });
});
