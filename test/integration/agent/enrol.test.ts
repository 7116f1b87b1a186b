import { mkdtemp, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createPrivateKey } from 'node:crypto';
import { makeDeviceKeys, signingRequestFor } from '#agent/identity/device-keys.js';
import { KeptTrust } from '#agent/identity/device-trust.js';
import { enrol, type EnrolInput } from '#agent/identity/enrol.js';
import { identityDocument } from '#agent/identity/identity.js';
import { readCapabilities } from '#agent/identity/capabilities.js';
import { StateDocuments } from '#agent/store/state-documents.js';
import { stateFolder, type StateFolder } from '#agent/store/state-folder.js';
import { takeStateLock } from '#agent/store/state-lock.js';
import { readSigningRequest } from '#cloud/trust/signing-request.js';
import { systemClock } from '#shared/kernel/clock.js';
import { generateSigningKey } from '#shared/package/signing-key.js';
import {
  controlPlaneServerName,
  type EnrolmentRequest,
  enrolmentRequestSchema,
  type EnrolmentToken,
  formatEnrolmentToken,
} from '#shared/protocol/enrolment.js';
import { removeFolder } from '#test/support/agent/agent-harness.js';
import { FakeCloud } from '#test/support/agent/fake-cloud.js';

describe('enrolment', () => {
  let cloud: FakeCloud;
  let other: FakeCloud;
  let gateway: Server;
  let url: string;
  let folder: StateFolder;
  type Answer = { status: number; body: unknown } | undefined;
  let answer: (body: string) => Answer | Promise<Answer>;
  const bodies: string[] = [];

  beforeAll(async () => {
    cloud = await FakeCloud.start();
    other = await FakeCloud.start();
    gateway = createServer(cloud.serverTls, (request, response) => {
      let text = '';
      request.on('data', (part: Buffer) => {
        text += part.toString();
      });
      request.on('end', () => {
        bodies.push(text);
        const say = (reply: Answer): void => {
          if (reply === undefined) request.socket.destroy();
          else response.writeHead(reply.status, { 'content-type': 'application/json' }).end(JSON.stringify(reply.body));
        };
        Promise.resolve(answer(text)).then(say, () => request.socket.destroy());
      });
    });
    await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
    url = `https://127.0.0.1:${String((gateway.address() as AddressInfo).port)}`;
  });
  afterAll(async () => {
    gateway.closeAllConnections();
    await new Promise((resolve) => gateway.close(resolve));
    await cloud.close();
    await other.close();
  });
  beforeEach(async () => {
    bodies.length = 0;
    folder = stateFolder(await mkdtemp(join(tmpdir(), 'fe-')));
    answer = async (text) => ({ status: 201, body: await good(enrolmentRequestSchema.parse(JSON.parse(text))) });
  });
  afterEach(() => removeFolder(folder.root));

  const good = async ({ workspace, device = 'named', csr }: EnrolmentRequest, issuer = cloud.issuer) => {
    const { publicKey } = await readSigningRequest(csr);
    const validity = { nowMs: Date.now(), lifetimeMs: 86_400_000 };
    return {
      workspace,
      device,
      certificate: (await issuer.issueDevice({ workspace, device }, publicKey, validity)).certificate,
      broker: { url: cloud.brokerUrl, serverName: controlPlaneServerName },
      director: cloud.director.publicKey,
    };
  };
  const token = (change: Partial<EnrolmentToken> = {}): string =>
    formatEnrolmentToken({
      url,
      workspace: 'lab',
      secret: 't'.repeat(43),
      authority: cloud.authorityPin,
      director: cloud.director.publicKey,
      publishers: [cloud.publisher.publicKey],
      ...change,
    });
  const go = (text: string, more: Partial<EnrolInput> = {}) =>
    enrol(
      {
        folder,
        token: text,
        device: 'cam-1',
        tags: { site: 'lab' },
        capabilities: readCapabilities(),
        replace: false,
        proxy: { proxy: undefined, noProxy: '' },
        ...more,
      },
      { ...systemClock, sleep: async () => undefined },
    );
  const identity = async () => (await identityDocument(folder.identity).read())?.value;

  it('leaves an identity that only its owner can read, and nothing pending', async () => {
    await go(token());
    expect(await identity()).toMatchObject({ schema: 2, workspace: 'lab', device: 'cam-1' });
    expect((await KeptTrust.open(folder.trust))?.current()).toEqual({
      version: 0,
      threshold: 1,
      withdrawn: [],
      directors: [cloud.director.publicKey],
      publishers: [cloud.publisher.publicKey],
      authorities: [cloud.authorityPem],
    });
    expect((await stat(folder.identity)).mode & 0o777).toBe(0o600);
    await expect(stat(folder.pendingEnrolment)).rejects.toThrow();
    expect(JSON.parse(bodies[0] ?? '')).toMatchObject({ tags: { site: 'lab' }, device: 'cam-1' });
  });

  it('tells the token to nobody but the server that the token pins', async () => {
    await expect(go(token({ authority: other.authorityPin }))).rejects.toMatchObject({
      code: 'enrolment.pin-mismatch',
    });
    expect(bodies).toEqual([]);
    expect(await identity()).toBeUndefined();
  });

  it('refuses a server whose director is another than the token pins', async () => {
    await expect(go(token({ director: generateSigningKey().publicKey }))).rejects.toMatchObject({
      code: 'enrolment.pin-mismatch',
    });
    expect(await identity()).toBeUndefined();
  });

  it.each(['enrolment.token-expired', 'enrolment.token-used', 'device.exists'] as const)(
    'passes on what the server says: %s',
    async (code) => {
      answer = () => ({ status: 401, body: { code, message: 'so it is' } });
      await expect(go(token())).rejects.toMatchObject({ code, message: 'so it is' });
      expect(await identity()).toBeUndefined();
    },
  );

  it('refuses a malformed token before it speaks to anyone', async () => {
    await expect(go(token().slice(0, -9))).rejects.toMatchObject({ code: 'enrolment.token-invalid' });
    await expect(go('abc')).rejects.toMatchObject({ code: 'enrolment.token-invalid' });
    await expect(go(token(), { device: 'Cam 1' })).rejects.toMatchObject({ code: 'request.invalid' });
    expect(bodies).toEqual([]);
  });

  it('keeps its private keys to itself', async () => {
    await go(token());
    const { privateKey, sealingKey } = (await identity()) ?? { privateKey: 'none', sealingKey: 'none' };
    for (const pem of [privateKey, sealingKey]) {
      const secret = createPrivateKey(pem).export({ format: 'jwk' }).d ?? 'none';
      expect(bodies.join()).not.toContain(secret);
      for (const line of pem.split('\n').slice(1, -2)) expect(bodies.join()).not.toContain(line);
    }
  });

  it('that was cut off asks again with the same keys, so that it is the same device', async () => {
    answer = () => undefined;
    await expect(go(token())).rejects.toMatchObject({ code: 'server.unreachable' });
    answer = async (text) => ({ status: 201, body: await good(enrolmentRequestSchema.parse(JSON.parse(text))) });
    await go(token());
    const requests = bodies.map((text) => enrolmentRequestSchema.parse(JSON.parse(text)));
    const keys = await Promise.all(requests.map(async ({ csr }) => (await readSigningRequest(csr)).keyFingerprint));
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
    expect(requests[1]?.sealingKey).toBe(requests[0]?.sealingKey);
  });

  it.each<[string, (body: EnrolmentRequest) => Promise<unknown>]>([
    ['of another authority', (body) => good(body, other.issuer)],
    ['of another device', async (body) => ({ ...(await good({ ...body, device: 'cam-2' })), device: body.device })],
    [
      'for another key',
      async (body) => good({ ...body, csr: await signingRequestFor(makeDeviceKeys().privateKey, 'lab/cam-1') }),
    ],
    [
      'that cannot be read',
      async (body) => ({
        ...(await good(body)),
        certificate: '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----',
      }),
    ],
  ])('refuses a certificate %s', async (_what, make) => {
    answer = async (text) => ({ status: 201, body: await make(enrolmentRequestSchema.parse(JSON.parse(text))) });
    await expect(go(token())).rejects.toMatchObject({ code: 'enrolment.pin-mismatch' });
    expect(await identity()).toBeUndefined();
  });

  it('does not give up an identity unless it is told to, but mends a damaged one', async () => {
    await go(token());
    await expect(go(token())).rejects.toMatchObject({ code: 'device.exists' });
    await go(token(), { device: 'cam-2', replace: true });
    expect(await identity()).toMatchObject({ device: 'cam-2' });
    await writeFile(folder.identity, (await readFile(folder.identity, 'utf8')).slice(0, 40));
    await go(token());
    expect(await identity()).toMatchObject({ device: 'cam-1' });
  });

  it('leaves nothing of an earlier device, and waits for no running agent', async () => {
    await go(token());
    await writeFile(folder.committed, 'of cam-1');
    await go(token(), { device: 'cam-2', replace: true });
    await expect(stat(folder.committed)).rejects.toThrow();
    const lock = await takeStateLock(folder.lock);
    await expect(go(token(), { replace: true })).rejects.toMatchObject({ code: 'already.running' });
    await lock.release();
  });

  it('without a name takes the one that the server gives, and says what the machine calls itself', async () => {
    await go(token(), { device: undefined, hardwareId: 'serial-7' });
    expect(await identity()).toMatchObject({ device: 'named' });
    expect(enrolmentRequestSchema.parse(JSON.parse(bodies[0] ?? ''))).toMatchObject({ hardwareId: 'serial-7' });
  });

  it('waits while somebody must approve it or too many come at once, with the same keys, and says so', async () => {
    const answers: Answer[] = [
      { status: 202, body: { state: 'pending', retryAfterSeconds: 5 } },
      { status: 429, body: { code: 'rate.limited', message: 'slowly', details: { retryAfterSeconds: 2 } } },
    ];
    answer = async (text) => {
      const waiting = answers.shift();
      return waiting ?? { status: 201, body: await good(enrolmentRequestSchema.parse(JSON.parse(text))) };
    };
    const waits: [string, number][] = [];
    await go(token(), { onWaiting: (what, seconds) => void waits.push([what, seconds]) });
    expect(waits).toEqual([
      [expect.stringContaining('approve'), 5],
      ['slowly', 2],
    ]);
    expect(new Set(bodies).size).toBe(1);
    answers.push({ status: 202, body: { state: 'pending', retryAfterSeconds: 5 } });
    await expect(go(token(), { replace: true })).rejects.toMatchObject({ code: 'enrolment.pending' });
  });

  it('goes on above the boot numbers of the machine that had its name', async () => {
    answer = async (text) => ({
      status: 201,
      body: { ...(await good(enrolmentRequestSchema.parse(JSON.parse(text)))), bootIdAbove: 41 },
    });
    await go(token());
    expect(await new StateDocuments(folder, () => undefined).nextBootId(0)).toBe(42);
  });

  it('says so when nobody answers', async () => {
    await expect(go(token(), { url: 'https://127.0.0.1:1' })).rejects.toMatchObject({ code: 'server.unreachable' });
    await expect(go(token(), { url: 'http://127.0.0.1:1' })).rejects.toMatchObject({ code: 'request.invalid' });
  });
});
