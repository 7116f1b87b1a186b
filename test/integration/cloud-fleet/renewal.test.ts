/** Certificates after enrolment: renewed, revoked, superseded, replaced; over the real gateway. */
import { X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDeviceKeys } from '#agent/identity/device-keys.js';
import { createAuthority } from '#cloud/trust/certificates.js';
import { CertificateIssuer } from '#cloud/trust/certificate-issuer.js';
import { renewalResponseSchema } from '#shared/protocol/enrolment.js';
import { addressOf, type FleetWorld, showKeys } from '#test/support/fleet-world.js';
import { type Answer, GatewayWorld } from '#test/support/gateway-world.js';

const dayMs = 86_400_000;
const cam = addressOf('cam');

describe('a device with a certificate', () => {
  let gateway: GatewayWorld;
  let world: FleetWorld;
  let device: Awaited<ReturnType<GatewayWorld['device']>>;
  const ended: string[] = [];

  beforeEach(async () => {
    gateway = await GatewayWorld.open();
    world = gateway.fleet;
    ended.length = 0;
    const end = async (_address: unknown, fingerprint: string): Promise<void> => void ended.push(fingerprint);
    world.access = { ...world.access, revoked: end, superseded: end };
    device = await gateway.device('cam');
  });
  afterEach(() => gateway.close());

  interface Client {
    readonly certificate: string;
    readonly privateKey: string;
  }
  const serialOf = (certificate: string): string => new X509Certificate(certificate).serialNumber.toLowerCase();
  const fingerprintOf = (certificate: string): string =>
    new X509Certificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase();
  const renew = async (client: Client | undefined = device, name = 'cam', keys = makeDeviceKeys()): Promise<Answer> =>
    gateway.post('/v1/renew', { csr: (await showKeys(keys, 'w', name)).csr }, client);
  const renewed = async (client: Client = device): Promise<Client> => {
    const keys = makeDeviceKeys();
    const { body } = await renew(client, 'cam', keys);
    return { ...keys, certificate: renewalResponseSchema.parse(body).certificate };
  };
  const accepted = async (): Promise<readonly string[]> => (await world.devices.findDevice(cam))?.fingerprints ?? [];

  it('gets another for a new key, and both are accepted until the new one has been used', async () => {
    const next = await renewed();
    expect([...(await accepted())].sort()).toEqual(
      [device, next].map(({ certificate }) => fingerprintOf(certificate)).sort(),
    );
    world.clock.nowMs += 1000;
    // Issued in the same millisecond, neither is older; here the next one is.
    const later = await renewed(next);
    await world.revocation.supersede(cam, serialOf(later.certificate));
    expect(await accepted()).toEqual([fingerprintOf(later.certificate)]);
    expect(ended.sort()).toEqual([fingerprintOf(device.certificate), fingerprintOf(next.certificate)].sort());
    expect(await renew(device)).toMatchObject({ status: 401, body: { code: 'certificate.revoked' } });
    expect((await gateway.audited()).filter(({ action }) => action === 'device.renewed')).toMatchObject([
      { outcome: 'done' },
      { outcome: 'done' },
      { outcome: 'refused', details: { code: 'certificate.revoked' } },
    ]);
  });

  it('gets the same again for the same key, as after an answer that got lost', async () => {
    const keys = makeDeviceKeys();
    const [first, again] = [await renew(device, 'cam', keys), await renew(device, 'cam', keys)];
    expect(again.body).toEqual(first.body);
    expect(await accepted()).toHaveLength(2);
  });

  it('that renews without end keeps four', async () => {
    for (let n = 0; n < 7; n++) {
      world.clock.nowMs += 1000;
      await renew();
    }
    expect(await accepted()).toContain(fingerprintOf(device.certificate));
    expect((await accepted()).length).toBeLessThanOrEqual(5);
  });

  it('that was off for longer than it lasts renews by the key it has, until the grace ends', async () => {
    world.clock.nowMs = Date.parse(new X509Certificate(device.certificate).validTo) + 100 * dayMs;
    expect(await renew()).toMatchObject({ status: 200 });
    world.clock.nowMs += 81 * dayMs;
    expect(await renew()).toMatchObject({ status: 401, body: { code: 'certificate.expired' } });
  });

  it('renews one that a restored database has forgotten, where the authority signed it', async () => {
    await world.control.deleteFrom('deviceCertificates').execute();
    expect(await renew()).toMatchObject({ status: 200 });
    const stranger = new CertificateIssuer(await createAuthority(Date.now()));
    const key = new X509Certificate(device.certificate).publicKey.export({ format: 'der', type: 'spki' });
    const validity = { nowMs: Date.now(), lifetimeMs: dayMs };
    const forged = await stranger.issueDevice(cam, key, validity);
    expect(await renew({ certificate: forged.certificate, privateKey: device.privateKey })).toMatchObject({
      status: 401,
      body: { code: 'certificate.invalid' },
    });
    expect(await gateway.audited()).not.toContainEqual(expect.objectContaining({ outcome: 'refused' }));
  });

  it.each<[string, () => Promise<Answer>, number, string]>([
    [
      'no certificate',
      () => gateway.post('/v1/renew', { csr: '-----BEGIN CERTIFICATE REQUEST-----' }),
      401,
      'certificate.missing',
    ],
    ['a request for another device', () => renew(device, 'other'), 422, 'enrolment.csr-invalid'],
    [
      'a certificate of a retired device',
      async () => {
        await world.twin.retire(cam);
        return renew();
      },
      409,
      'device.retired',
    ],
    [
      'a certificate that was revoked',
      async () => {
        await world.revocation.revoke(cam, 'stolen');
        return renew();
      },
      401,
      'certificate.revoked',
    ],
  ])('is refused with %s', async (_what, act, status, code) => {
    expect(await act()).toMatchObject({ status, body: { code } });
  });

  it('is out at once when it is revoked, by one or by all, and the list for Mosquitto says so', async () => {
    const next = await renewed();
    expect(await world.revocation.revoke(cam, 'lost', serialOf(next.certificate))).toBe(1);
    expect(ended).toEqual([fingerprintOf(next.certificate)]);
    expect(await accepted()).toEqual([fingerprintOf(device.certificate)]);
    expect(await world.revocation.revoke(cam, 'stolen')).toBe(1);
    expect(await world.revocation.revoke(cam, 'stolen')).toBe(0);
    expect(await accepted()).toEqual([]);
    await expect(world.revocation.revoke(cam, 'x', 'abc')).rejects.toMatchObject({ code: 'certificate.not-found' });
    await expect(world.revocation.revoke(addressOf('none'), 'x')).rejects.toMatchObject({ code: 'device.not-found' });
    const list = await world.revocation.revokedSerials(world.issuer.fingerprint, '2026-01-01T00:00:00.000Z');
    expect(list.map(({ serial }) => serial).sort()).toEqual(
      [serialOf(device.certificate), serialOf(next.certificate)].sort(),
    );
  });

  describe('replaced by other hardware', () => {
    const replace = async (): Promise<Answer> => {
      const { secret } = await world.enrolment.createReplacement(cam, 60_000);
      return gateway.enrol(secret);
    };

    it('gives it its name, its tags and its desired state, and is out in the same moment', async () => {
      await world.devices.update(cam, {
        tagsJson: '{"site":"lab"}',
        desiredGeneration: 7,
        presenceBootId: 41,
        reportedBootId: 40,
      });
      expect(await replace()).toMatchObject({ status: 201, body: { bootIdAbove: 41 } });
      expect(ended).toEqual([fingerprintOf(device.certificate)]);
      expect(await accepted()).toHaveLength(1);
      expect(await world.devices.find(cam)).toMatchObject({ tagsJson: '{"site":"lab"}', desiredGeneration: 7 });
      expect(await renew()).toMatchObject({ status: 401, body: { code: 'certificate.revoked' } });
      expect(await gateway.audited()).toContainEqual(
        expect.objectContaining({ action: 'device.replaced', outcome: 'done' }),
      );
    });

    it('comes back though it was retired', async () => {
      await world.twin.retire(cam);
      expect(await replace()).toMatchObject({ status: 201 });
      expect(await world.devices.find(cam)).toMatchObject({ retiredAt: null });
    });

    it('only where there was one, and only by its name', async () => {
      await expect(world.enrolment.createReplacement(addressOf('none'), 60_000)).rejects.toMatchObject({
        code: 'device.not-found',
      });
      const { secret } = await world.enrolment.createReplacement(cam, 60_000);
      expect(await gateway.enrol(secret, { device: 'cam-2' })).toMatchObject({ status: 403 });
    });
  });
});
