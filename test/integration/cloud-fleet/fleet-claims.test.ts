/** Mass enrolment over the real gateway. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDeviceKeys } from '#agent/identity/device-keys.js';
import type { ClaimTerms } from '#cloud/fleet/fleet-claims.js';
import { type FleetWorld, showKeys } from '#test/support/fleet-world.js';
import { type Answer, type EnrolmentChange, GatewayWorld } from '#test/support/gateway-world.js';

describe('a fleet claim', () => {
  let gateway: GatewayWorld;
  let world: FleetWorld;
  beforeEach(async () => {
    gateway = await GatewayWorld.open();
    world = gateway.fleet;
  });
  afterEach(() => gateway.close());

  const make = async (terms: Partial<ClaimTerms> = {}): Promise<(change: EnrolmentChange) => Promise<Answer>> => {
    const { secret } = await world.claims.create('w', {
      name: 'factory-7',
      ttlMs: 60_000,
      maxDevices: 100,
      approval: false,
      ratePerSecond: 1000,
      tags: { line: '7' },
      allowTags: [],
      ...terms,
    });
    return (change) => gateway.enrol(secret, change);
  };
  const count = async (): Promise<number> => (await world.devices.list('w', 500)).length;

  it('lets many in at the same moment, and never more than it says', async () => {
    const enrol = await make({ maxDevices: 20 });
    const names = Array.from({ length: 30 }, (_, n) => `cam-${String(n)}`);
    const answers = await Promise.all(names.map((device) => enrol({ device })));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(20);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(10);
    expect(answers.find(({ status }) => status === 409)).toMatchObject({ body: { code: 'claim.full' } });
    expect(await count()).toBe(20);
    expect((await world.devices.list('w', 1))[0]).toMatchObject({ tagsJson: '{"line":"7"}' });
    expect((await world.office.list('w', { limit: 10 })).items).toMatchObject([{ taken: 20, pending: 0 }]);
  });

  it('counts a device once however often it asks, in whatever order devices come', async () => {
    const pool = await Promise.all(
      ['a', 'b', 'c', 'd'].map(async (device) => ({ device, ...(await showKeys(makeDeviceKeys(), 'w', device)) })),
    );
    let claims = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat({ max: 3 }), { maxLength: 10 }),
        fc.integer({ min: 1, max: 4 }),
        async (order, max) => {
          for (const table of ['claimRequests', 'deviceCertificates', 'devices'] as const) {
            await world.control.deleteFrom(table).execute();
          }
          claims += 1;
          const enrol = await make({ name: `claim-${String(claims)}`, maxDevices: max });
          const answers = await Promise.all(order.map((at) => enrol(pool[at] ?? { device: '?' })));
          const wanted = new Set(order).size;
          expect(await count()).toBe(Math.min(wanted, max));
          if (wanted <= max) expect(answers.every(({ status }) => status === 201)).toBe(true);
        },
      ),
      { numRuns: 12 },
    );
  });

  it('makes a device wait until a person has approved it, and never lets in a rejected one', async () => {
    const enrol = await make({ approval: true });
    const [good, bad] = await Promise.all(
      ['good', 'bad'].map(async (device) => ({ device, ...(await showKeys(makeDeviceKeys(), 'w', device)) })),
    );
    if (good === undefined || bad === undefined) throw new Error('two were made');
    for (const one of [good, bad, good]) {
      expect(await enrol(one)).toMatchObject({ status: 202, body: { state: 'pending' } });
    }
    expect(await count()).toBe(0);
    expect(
      (await world.office.requests('w', 'factory-7', 'pending', { limit: 10 })).items
        .map(({ device }) => device)
        .sort(),
    ).toEqual(['bad', 'good']);
    expect(await world.office.decide('w', 'factory-7', { device: 'good' }, { state: 'approved' })).toEqual(['good']);
    await world.office.decide('w', 'factory-7', { device: 'bad' }, { state: 'rejected', reason: 'not ours' });
    expect(await enrol(good)).toMatchObject({ status: 201 });
    expect(await enrol(good)).toMatchObject({ status: 201 });
    expect(await enrol(bad)).toMatchObject({ status: 403, body: { code: 'enrolment.rejected' } });
    await expect(world.office.decide('w', 'factory-7', { device: 'bad' }, { state: 'approved' })).rejects.toMatchObject(
      {
        code: 'claim.not-found',
      },
    );
    expect(await count()).toBe(1);
  });

  it('queues no more than it could let in', async () => {
    const enrol = await make({ approval: true, maxDevices: 2 });
    const names = ['a', 'b', 'c'];
    const answers = await Promise.all(names.map((device) => enrol({ device })));
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 202, 409]);
    expect(await world.office.decide('w', 'factory-7', 'all', { state: 'rejected', reason: 'x' })).toHaveLength(2);
    expect(await enrol({ device: 'd' })).toMatchObject({ status: 202 });
  });

  it('with a list lets in each hardware once, and names devices by it', async () => {
    const enrol = await make({ hardwareIds: ['SN 0001', 'SN 0002'], nameTemplate: 'cam-{hardware}' });
    const one = { device: undefined, hardwareId: 'SN 0001' };
    const keys = await showKeys(makeDeviceKeys(), 'w', undefined);
    expect(await enrol({ ...one, ...keys })).toMatchObject({ status: 201, body: { device: 'cam-sn-0001' } });
    expect(await enrol({ ...one, ...keys })).toMatchObject({ status: 201, body: { device: 'cam-sn-0001' } });
    for (const refused of [
      one,
      { ...one, hardwareId: 'SN 0003' },
      { device: undefined },
      { device: 'cam', hardwareId: 'SN 0002' },
    ]) {
      expect(await enrol(refused), JSON.stringify(refused)).toMatchObject({
        status: 403,
        body: { code: 'enrolment.not-allowed' },
      });
    }
    expect(await enrol({ ...one, hardwareId: 'SN 0002' })).toMatchObject({ status: 201 });
  });

  it('slows down who comes too fast, says how long to wait, and takes nothing for it', async () => {
    const enrol = await make({ ratePerSecond: 0.01 });
    const answers: Answer[] = [];
    for (let n = 0; n < 22; n++) answers.push(await enrol({ device: `cam-${String(n)}` }));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(20);
    expect(answers.at(-1)).toMatchObject({
      status: 429,
      body: { code: 'rate.limited', details: { retryAfterSeconds: expect.any(Number) as number } },
    });
    expect((await world.office.list('w', { limit: 10 })).items).toMatchObject([{ taken: 20 }]);
  });

  it('lets nobody in once it has ended or was revoked, and its name is not used again', async () => {
    const enrol = await make();
    await world.office.revoke('w', 'factory-7');
    expect(await enrol({ device: 'a' })).toMatchObject({ status: 401, body: { code: 'enrolment.token-invalid' } });
    await expect(make()).rejects.toMatchObject({ code: 'claim.exists' });
    const other = await make({ name: 'factory-8' });
    world.clock.nowMs += 60_001;
    expect(await other({ device: 'a' })).toMatchObject({ status: 401, body: { code: 'enrolment.token-expired' } });
    await expect(world.office.revoke('w', 'none')).rejects.toMatchObject({ code: 'claim.not-found' });
  });
});
