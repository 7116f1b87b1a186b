/** Enrolment over the real gateway: HTTPS, the certificate checked as a device checks it. */
import { request } from 'node:https';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { controlPlaneServerName, enrolmentResponseSchema } from '#shared/protocol/enrolment.js';
import type { App } from '#cloud/http/app.js';
import { createGateway } from '#cloud/gateway/gateway.js';
import { verifyPassword } from '#cloud/mqtt/broker-password.js';
import { identityFor } from '#test/support/broker-worlds.js';
import { addressOf, capabilities, FleetWorld } from '#test/support/fleet-world.js';
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
    identity = await identityFor(world);
    gateway = await createGateway({
      logger: pino({ level: 'trace' }, sink),
      clock: world.clock,
      certificate: identity.server.certificate,
      privateKey: identity.server.privateKey,
      enrolment: world.enrolment,
      trust: () => ({
        director: world.director.publicKey,
        broker: { url: 'mqtts://127.0.0.1:8883', serverName: controlPlaneServerName, authority: identity.authority },
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
  const enrol = (change: object = {}): ReturnType<typeof post> =>
    post({ workspace: 'w', secret, device: 'cam', tags: { by: 'device', line: '3' }, capabilities, ...change });

  it('makes a device of a valid token, and keeps of its password only a hash', async () => {
    const { status, body } = await enrol();
    expect(status).toBe(201);
    const answer = enrolmentResponseSchema.parse(body);
    expect(answer).toMatchObject({ workspace: 'w', device: 'cam', director: world.director.publicKey });
    const device = await world.devices.find(addressOf('cam'));
    expect(await verifyPassword(answer.secret, device?.secretHash ?? '')).toBe(true);
    expect(JSON.parse(device?.tagsJson ?? '')).toEqual({ site: 'lab', by: 'token', line: '3' });
    expect(JSON.parse(device?.reportedJson ?? '')).toMatchObject({ capabilities });
    expect(world.known.has(addressOf('cam'))).toBe(true);
    expect(log).toContain('device enrolled');
    expect(log).not.toContain(answer.secret);
    expect(log).not.toContain(secret);
  });

  it.each([
    ['a token of nobody', () => ({ secret: 'x'.repeat(43) }), 401, 'enrolment.token-invalid'],
    ['a token of another workspace', () => ({ workspace: 'other' }), 401, 'enrolment.token-invalid'],
    ['a name outside the grammar', () => ({ device: 'Not A Name' }), 400, 'request.invalid'],
    ['an unknown field', () => ({ admin: true }), 400, 'request.invalid'],
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
