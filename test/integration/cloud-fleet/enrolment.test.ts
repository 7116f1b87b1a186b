/** Enrolment over the real gateway: HTTPS, the certificate checked as a device checks it. */
import { X509Certificate } from 'node:crypto';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeDeviceKeys } from '#agent/identity/device-keys.js';
import { enrolmentResponseSchema } from '#shared/protocol/enrolment.js';
import { addressOf, capabilities, type FleetWorld, showKeys } from '#test/support/fleet-world.js';
import { type Answer, type EnrolmentChange, GatewayWorld } from '#test/support/gateway-world.js';

describe('the device gateway', () => {
  let gateway: GatewayWorld;
  let world: FleetWorld;
  let secret: string;

  beforeEach(async () => {
    gateway = await GatewayWorld.open();
    world = gateway.fleet;
    const limits = { tags: { site: 'lab', by: 'token' }, allowTags: ['line'] };
    ({ secret } = await world.enrolment.createToken('w', 60_000, limits));
  });
  afterEach(() => gateway.close());

  const enrol = (change: EnrolmentChange = {}): Promise<Answer> =>
    gateway.enrol(secret, { tags: { line: '3' }, ...change });

  it('makes a device of a valid token, with a certificate for its key', async () => {
    const { status, body } = await enrol();
    expect(status).toBe(201);
    const answer = enrolmentResponseSchema.parse(body);
    expect(answer).toMatchObject({ workspace: 'w', device: 'cam', director: world.director.publicKey });
    const device = await world.devices.find(addressOf('cam'));
    const certificate = new X509Certificate(answer.certificate);
    expect(certificate.subject).toBe('CN=w/cam');
    expect(certificate.subjectAltName).toBe('URI:flotilla:w/cam');
    expect(certificate.checkIssued(new X509Certificate(gateway.identity.authority))).toBe(true);
    const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
    expect(await world.devices.findDevice(addressOf('cam'))).toEqual({ fingerprints: [fingerprint], retired: false });
    expect(JSON.parse(device?.tagsJson ?? '')).toEqual({ site: 'lab', by: 'token', line: '3' });
    expect(JSON.parse(device?.reportedJson ?? '')).toMatchObject({ capabilities });
    expect(world.known.has(addressOf('cam'))).toBe(true);
    expect(gateway.log).toContain('device enrolled');
    expect(gateway.log).not.toContain(secret);
  });

  let others: string;
  beforeAll(async () => {
    others = (await showKeys(makeDeviceKeys(), 'w', 'another')).csr;
  });

  it.each([
    ['a token of nobody', () => ({ secret: 'x'.repeat(43) }), 401, 'enrolment.token-invalid'],
    ['a token of another workspace', () => ({ workspace: 'other' }), 401, 'enrolment.token-invalid'],
    ['a name outside the grammar', () => ({ device: 'Not A Name' }), 400, 'request.invalid'],
    ['an unknown field', () => ({ admin: true }), 400, 'request.invalid'],
    ['a request for a key of another device', () => ({ csr: others }), 422, 'enrolment.csr-invalid'],
    ['a tag that the token does not allow', () => ({ tags: { ring: 'canary' } }), 403, 'enrolment.not-allowed'],
    ['another value for a tag of the token', () => ({ tags: { site: 'x' } }), 403, 'enrolment.not-allowed'],
    ['no name', () => ({ device: undefined }), 400, 'request.invalid'],
    ['no capabilities', () => ({ capabilities: undefined }), 400, 'request.invalid'],
  ])('refuses %s, and no secret is in the answer or the log', async (_what, change, status, code) => {
    const answer = await enrol(change());
    expect(answer).toMatchObject({ status, body: { code } });
    expect(JSON.stringify(answer.body) + gateway.log).not.toContain(secret);
    expect(await world.devices.find(addressOf('cam'))).toBeUndefined();
    // The token is as good as before.
    expect(await enrol()).toMatchObject({ status: 201 });
  });

  it('refuses an expired token', async () => {
    world.clock.nowMs += 60_001;
    expect(await enrol()).toMatchObject({ status: 401, body: { code: 'enrolment.token-expired' } });
  });

  it('refuses a token the second time', async () => {
    await enrol();
    expect(await enrol({ device: 'cam2' })).toMatchObject({ status: 401, body: { code: 'enrolment.token-used' } });
  });

  it('gives the same device when the same key asks again, as after an answer that got lost', async () => {
    const shown = await showKeys(makeDeviceKeys(), 'w', 'cam');
    const first = enrolmentResponseSchema.parse((await enrol(shown)).body);
    const again = enrolmentResponseSchema.parse((await enrol(shown)).body);
    expect(again.certificate).toBe(first.certificate);
    expect((await world.devices.findDevice(addressOf('cam')))?.fingerprints).toHaveLength(1);
    // Another key with the same token and name is another device.
    expect(await enrol()).toMatchObject({ status: 401, body: { code: 'enrolment.token-used' } });
    world.clock.nowMs += 60_001;
    expect(await enrol(shown)).toMatchObject({ status: 401, body: { code: 'enrolment.token-expired' } });
  });

  it('lets one of two devices win that race with one token', async () => {
    const names = ['r1', 'r2', 'r3', 'r4'];
    const answers = await Promise.all(names.map((device) => enrol({ device })));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(3);
    expect(await world.devices.list('w', 10)).toHaveLength(1);
  });

  it('refuses a taken name, also of a retired device, and leaves the token usable', async () => {
    await gateway.device('cam');
    expect(await enrol()).toMatchObject({ status: 409, body: { code: 'device.exists' } });
    await world.twin.retire(addressOf('cam'));
    expect(await enrol()).toMatchObject({ status: 409, body: { code: 'device.exists' } });
    expect(await enrol({ device: 'cam2' })).toMatchObject({ status: 201 });
  });

  it('lets in only the name that a token is for', async () => {
    ({ secret } = await world.enrolment.createToken('w', 60_000, { device: 'cam-9', allowTags: ['line'] }));
    expect(await enrol()).toMatchObject({ status: 403, body: { code: 'enrolment.not-allowed' } });
    expect(await enrol({ device: 'cam-9' })).toMatchObject({ status: 201 });
  });

  it('gives nothing more to a key that was revoked or retired since', async () => {
    const shown = await showKeys(makeDeviceKeys(), 'w', 'cam');
    await enrol(shown);
    await world.revocation.revoke(addressOf('cam'), 'stolen');
    expect(await enrol(shown)).toMatchObject({ status: 401, body: { code: 'certificate.revoked' } });
    await world.twin.retire(addressOf('cam'));
    expect(await enrol(shown)).toMatchObject({ status: 401, body: { code: 'certificate.revoked' } });
  });

  it('enters what it did and what it refused in the audit log, but nothing of strangers', async () => {
    await enrol({ secret: 'x'.repeat(43) });
    await enrol({ tags: { ring: 'canary' } });
    await enrol();
    expect(await gateway.audited()).toMatchObject([
      { action: 'device.enrolled', target: 'cam', outcome: 'refused', details: { code: 'enrolment.not-allowed' } },
      { action: 'device.enrolled', target: 'cam', outcome: 'done', details: { by: 'token' } },
    ]);
  });

  it('does not slow down devices that come rightly, however many share an address', async () => {
    const answers: number[] = [];
    for (let n = 0; n < 40; n++) {
      ({ secret } = await world.enrolment.createToken('w', 60_000, { allowTags: ['line'] }));
      answers.push((await enrol({ device: `many-${String(n)}` })).status);
    }
    expect(new Set(answers)).toEqual(new Set([201]));
  });

  it('slows down an address that tries too often', async () => {
    const answers = await Promise.all(Array.from({ length: 60 }, () => enrol({ secret: 'x'.repeat(43), csr: others })));
    const refused = answers.find(({ status }) => status === 429);
    expect(refused).toMatchObject({ body: { code: 'rate.limited' } });
  });

  it('answers nothing but enrolment', async () => {
    const response = await gateway.app.inject({ method: 'GET', url: '/v1/server' });
    expect(response.statusCode).toBe(404);
  });
});
