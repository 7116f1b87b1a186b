/** The authority of a running control plane is replaced: chains by OpenSSL's judgement, listeners, files of Mosquitto, tokens. */
import { execFile, spawn } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readCapabilities } from '#agent/identity/capabilities.js';
import { enrol } from '#agent/identity/enrol.js';
import { stateFolder } from '#agent/store/state-folder.js';
import { systemClock } from '#shared/kernel/clock.js';
import { controlPlaneServerName, formatEnrolmentToken } from '#shared/protocol/enrolment.js';
import { loadConfig } from '#cloud/config.js';
import { type RunningCloud, startCloud } from '#cloud/main.js';
import { ownPort } from '#test/support/own-port.js';
import { beginSuccession } from '#cloud/trust/authority-succession.js';
import {
  ensureInstallationIdentity,
  type IdentityOptions,
  type InstallationIdentity,
} from '#cloud/trust/installation-identity.js';
import { eventually, silent } from '#test/support/fleet-world.js';
import { outsideTool } from '#test/support/outside-tool.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flotilla-rotation-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const openssl = async (...args: string[]): Promise<string> =>
  (await promisify(execFile)(outsideTool('openssl'), args, { cwd: folder })).stdout;
/** By one root alone, with the certificates that are shown along. */
const verify = async (shown: string, root: string, purpose: 'sslserver' | 'sslclient'): Promise<string> => {
  await writeFile(join(folder, 'shown.pem'), shown);
  await writeFile(join(folder, 'root.pem'), root);
  const how = `verify -x509_strict -CAfile root.pem -untrusted shown.pem -purpose ${purpose} shown.pem`;
  return openssl(...how.split(' '));
};
const identityOf = (more: Partial<IdentityOptions> = {}): Promise<InstallationIdentity> =>
  ensureInstallationIdentity({
    folder: join(folder, 'keys'),
    names: [],
    hostname: 'machine',
    nowMs: Date.now(),
    ...more,
  });
const deviceCertificate = async ({ issuer }: InstallationIdentity): Promise<string> => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const validity = { nowMs: Date.now(), lifetimeMs: 86_400_000 };
  return (await issuer.issueDevice({ workspace: 'w', device: 'cam' }, spki, validity)).certificate;
};
const certificatesIn = (pem: string): string[] =>
  (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map((text) =>
    new X509Certificate(text).toString(),
  );

describe('what the next authority signs', () => {
  const own = async (extension: string): Promise<IdentityOptions['ownAuthority']> => {
    const request = 'req -x509 -newkey rsa:2048 -nodes -keyout own.key -out own.crt -days 30 -subj /CN=Plant -addext';
    const usage = ['-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
    await openssl(...request.split(' '), `basicConstraints=critical,${extension}`, ...usage);
    const text = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');
    return { certificates: await text('own.crt'), privateKey: await text('own.key') };
  };

  it.each([
    ['made here', async () => undefined],
    ["the operator's own, of RSA", () => own('CA:TRUE')],
  ])('is believed by who knows it, and by who knows only the one before it, %s', async (_what, bring) => {
    const ownAuthority = await bring();
    const before = await identityOf({ ownAuthority });
    await beginSuccession(join(folder, 'keys'), before.seal, Date.now());
    const during = await identityOf({ ownAuthority });
    const [next = '', old = ''] = during.authorities;
    expect(old).toBe(before.authority);
    expect(during.authorityFingerprint).toBe(before.authorityFingerprint);
    const device = await deviceCertificate(during);
    for (const root of [next, old]) {
      expect(await verify(during.server.certificate, root, 'sslserver')).toContain('OK');
      expect(await verify(device, root, 'sslclient')).toContain('OK');
    }
    // What the old one signed is not believed by who knows the next one alone.
    await expect(verify(await deviceCertificate(before), next, 'sslclient')).rejects.toThrow('unable to get');
    expect(during.issuer.hasIssued(new X509Certificate(await deviceCertificate(before)))).toBe(true);
  });

  it('is nothing where the present authority may certify none, and the refusal says what to do', async () => {
    const { seal } = await identityOf({ ownAuthority: await own('CA:TRUE,pathlen:0') });
    await expect(beginSuccession(join(folder, 'keys'), seal, Date.now())).rejects.toMatchObject({
      code: 'trust.invalid',
      message: expect.stringContaining('enrol the devices anew') as string,
    });
  });
});

describe('a control plane whose authority is replaced while it runs', () => {
  let cloud: RunningCloud;
  const start = async (port: number): Promise<void> => {
    const url = `mqtts://127.0.0.1:${String(port)}`;
    const flags = {
      ...{ 'data-dir': folder, 'http-port': '0', 'http-tls': 'off', 'gateway-port': '0' },
      ...{ 'broker-kind': 'external', 'broker-url': url },
    };
    cloud = await startCloud(loadConfig({ flags, environment: {} }), silent, '0.0.0-test');
  };
  let endMosquitto = async (): Promise<void> => undefined;
  const runMosquitto = (): void => {
    const config = join(folder, 'broker', 'mosquitto', 'mosquitto.conf');
    const child = spawn(outsideTool('mosquitto'), ['-c', config], { stdio: 'ignore' });
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    endMosquitto = async () => {
      child.kill('SIGTERM');
      await exited;
    };
  };
  afterEach(async () => {
    await cloud.stop();
    await endMosquitto();
  });
  const ready = (what: string): Promise<void> =>
    eventually(what, async () => (await fetch(`${cloud.addresses.http}/readyz`)).status === 200);
  const api = async (path: string, token: string, body?: unknown): Promise<{ status: number; body: never }> => {
    const response = await fetch(`${cloud.addresses.http}/v1${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as never };
  };
  /** Does the gateway convince a client that knows this root alone? */
  const convinces = (ca: string): Promise<boolean> =>
    new Promise((resolve) => {
      const { port } = new URL(cloud.addresses.gateway);
      const socket = connect({ host: '127.0.0.1', port: Number(port), ca, servername: controlPlaneServerName });
      const end = (outcome: boolean): void => {
        socket.destroy();
        resolve(outcome);
      };
      socket.once('secureConnect', () => end(socket.authorized));
      socket.once('error', () => end(false));
    });
  const mosquitto = (name: string): Promise<string> => readFile(join(folder, 'broker', 'mosquitto', name), 'utf8');
  const listsIn = (text: string): number => text.match(/BEGIN X509 CRL/g)?.length ?? 0;

  it('serves those who know either, without a restart, until the old one goes', async () => {
    const port = await ownPort();
    await start(port);
    runMosquitto();
    await ready('Mosquitto lets the control plane in');
    const owner = cloud.ownerToken ?? '';
    const rotate = (step: string, force = false) => api('/rotations/authority', owner, { step, force });
    const { body } = await api('/workspaces/default/enrolment-tokens', owner, {});
    const made: { secret: string; authority: string; director: string } = body;
    const old = (await identityOf()).authority;
    const adminBefore = await readFile(join(folder, 'broker', 'admin.crt'), 'utf8');
    expect(await rotate('finish')).toMatchObject({ status: 409, body: { code: 'trust.not-yet' } });

    const begun = await rotate('begin');
    expect(begun).toMatchObject({ status: 200, body: { current: made.authority } });
    expect(await rotate('begin')).toEqual(begun);
    const [next = ''] = (await identityOf()).authorities;
    expect([await convinces(old), await convinces(next)]).toEqual([true, true]);
    expect(certificatesIn(await mosquitto('authorities.crt'))).toEqual(certificatesIn(next + old));
    expect(listsIn(await mosquitto('revoked.crl'))).toBe(2);
    for (const root of [next, old])
      expect(await verify(await mosquitto('server.crt'), root, 'sslserver')).toContain('OK');

    // The files are all that a control plane which was cut off here has.
    await cloud.stop();
    await start(port);
    await ready('the certificate of the next authority lets the control plane in');
    expect((await rotate('begin')).body).toEqual(begun.body);

    // A token of before the rotation pins the old one; the certificate that it gives comes from the next.
    const enrolled = await enrol(
      {
        folder: stateFolder(join(folder, 'device')),
        token: formatEnrolmentToken({
          url: cloud.addresses.gateway,
          workspace: 'default',
          secret: made.secret,
          authority: made.authority,
          director: made.director,
          publishers: [made.director],
        }),
        device: 'cam',
        tags: {},
        capabilities: readCapabilities(),
        replace: false,
        proxy: { proxy: undefined, noProxy: '' },
      },
      systemClock,
    );
    expect(await verify(enrolled.certificate, next, 'sslclient')).toContain('OK');
    expect((await api('/workspaces/default/trust', owner)).body).toMatchObject({
      authorities: [{ fingerprint: (begun.body as { next: string }).next }, { fingerprint: made.authority }],
      waiting: [{ device: 'cam', lacks: 'trust' }],
    });
    expect(await rotate('finish')).toMatchObject({ status: 409, body: { details: { devices: ['default/cam'] } } });

    const finished = await rotate('finish', true);
    expect(finished).toMatchObject({ status: 200, body: { current: (begun.body as { next: string }).next } });
    expect([await convinces(old), await convinces(next)]).toEqual([false, true]);
    expect(certificatesIn(await mosquitto('authorities.crt'))).toEqual(certificatesIn(next));
    expect(listsIn(await mosquitto('revoked.crl'))).toBe(1);
    // The admin's certificate came from the old one: there is another.
    expect(await verify(await readFile(join(folder, 'broker', 'admin.crt'), 'utf8'), next, 'sslclient')).toContain(
      'OK',
    );
    expect(await readFile(join(folder, 'broker', 'admin.crt'), 'utf8')).not.toBe(adminBefore);

    // Once more, with no restart from beginning to end: what the control plane connects by is replaced too.
    expect((await rotate('begin')).status).toBe(200);
    expect((await rotate('finish', true)).status).toBe(200);
    expect(await convinces(next)).toBe(false);
    await endMosquitto();
    await eventually(
      'the connection is gone',
      async () => (await fetch(`${cloud.addresses.http}/readyz`)).status !== 200,
    );
    runMosquitto();
    await ready('the control plane and Mosquitto believe each other without the old authority');
  }, 60_000);
});
