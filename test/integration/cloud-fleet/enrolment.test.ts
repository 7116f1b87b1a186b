/** Enrolment over the real gateway: HTTPS, the certificate checked as a device checks it. */
import { X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeDeviceKeys } from '#agent/identity/device-keys.js';
import { controlPlaneServerName, enrolmentResponseSchema } from '#shared/protocol/enrolment.js';
import type { App } from '#cloud/http/app.js';
import { createGateway } from '#cloud/gateway/gateway.js';
import { addressOf, capabilities, FleetWorld, identityIn, showKeys } from '#test/support/fleet-world.js';
import { pino } from 'pino';
import { Writable } from 'node:stream';
import type { InstallationIdentity } from '#cloud/trust/installation-identity.js';

describe('the device gateway', () => {
  let world: FleetWorld;
  let gateway: App;
  let identity: InstallationIdentity;
  let log = '';
  let secret: string;

  beforeEach(async () => {
    world = await FleetWorld.open();
    log = '';
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        log += chunk.toString();
        done();
      },
    });
    identity = await identityIn(world.folder);
    gateway = await createGateway({
      logger: pino({ level: 'trace' }, sink),
      clock: world.clock,
      certificate: identity.server.certificate,
      privateKey: identity.server.privateKey,
      authorities: identity.authorities,
      upgrades: [],
      enrolment: world.enrolment,
      trust: () => ({
        director: world.director.publicKey,
        broker: { url: 'mqtts://127.0.0.1:8883', serverName: controlPlaneServerName },
      }),
    });
    await gateway.listen({ host: '127.0.0.1', port: 0 });
    ({ secret } = await world.enrolment.createToken('w', 60_000, { site: 'lab', by: 'token' }));
  });
  afterEach(async () => {
    await gateway.close();
    await world.close();
  });

  const post = (body: unknown): Promise<{ status: number; body: unknown }> =>
    new Promise((resolve, reject) => {
      const address = gateway.server.address();
      const sent = request(
        {
          host: '127.0.0.1',
          port: typeof address === 'object' ? address?.port : 0,
          path: '/v1/enrol',
          method: 'POST',
          ca: identity.authority,
          servername: controlPlaneServerName,
          headers: { 'content-type': 'application/json' },
          agent: false,
        },
        (response) => {
          let text = '';
          response.on('data', (chunk: Buffer) => {
            text += chunk.toString();
          });
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as unknown }));
        },
      );
      sent.on('error', reject);
      sent.end(JSON.stringify(body));
    });
  /** With keys of its own each time, unless the change brings some. */
  const enrol = async (change: { device?: string; [field: string]: unknown } = {}): ReturnType<typeof post> => {
    const { device = 'cam' } = change;
    const shown = await showKeys(makeDeviceKeys(), 'w', device);
    return post({
      workspace: 'w',
      secret,
      device,
      ...shown,
      tags: { by: 'device', line: '3' },
      capabilities,
      ...change,
    });
  };

  it('makes a device of a valid token, with a certificate for its key', async () => {
    const { status, body } = await enrol();
    expect(status).toBe(201);
    const answer = enrolmentResponseSchema.parse(body);
    expect(answer).toMatchObject({ workspace: 'w', device: 'cam', director: world.director.publicKey });
    const device = await world.devices.find(addressOf('cam'));
    const certificate = new X509Certificate(answer.certificate);
    expect(certificate.subject).toBe('CN=w/cam');
    expect(certificate.subjectAltName).toBe('URI:flotilla:w/cam');
    expect(certificate.checkIssued(new X509Certificate(identity.authority))).toBe(true);
    const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
    expect(await world.devices.findDevice(addressOf('cam'))).toEqual({ fingerprints: [fingerprint], retired: false });
    expect(JSON.parse(device?.tagsJson ?? '')).toEqual({ site: 'lab', by: 'token', line: '3' });
    expect(JSON.parse(device?.reportedJson ?? '')).toMatchObject({ capabilities });
    expect(world.known.has(addressOf('cam'))).toBe(true);
    expect(log).toContain('device enrolled');
    expect(log).not.toContain(secret);
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
    ['no capabilities', () => ({ capabilities: undefined }), 400, 'request.invalid'],
  ])('refuses %s, and no secret is in the answer or the log', async (_what, change, status, code) => {
    const answer = await enrol(change());
    expect(answer).toMatchObject({ status, body: { code } });
    expect(JSON.stringify(answer.body) + log).not.toContain(secret);
    expect(await world.devices.find(addressOf('cam'))).toBeUndefined();
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
    await enrol();
    await world.twin.retire(addressOf('cam'));
    ({ secret } = await world.enrolment.createToken('w', 60_000, {}));
    expect(await enrol()).toMatchObject({ status: 409, body: { code: 'device.exists' } });
    expect(await enrol({ device: 'cam2' })).toMatchObject({ status: 201 });
  });

  it('slows down an address that tries too often', async () => {
    const answers = [];
    for (let n = 0; n < 60; n++) answers.push(await enrol({ secret: 'x'.repeat(43) }));
    expect(answers.at(-1)).toMatchObject({ status: 429, body: { code: 'rate.limited' } });
  });

  it('answers nothing but enrolment', async () => {
    const response = await gateway.inject({ method: 'GET', url: '/v1/server' });
    expect(response.statusCode).toBe(404);
  });
});
