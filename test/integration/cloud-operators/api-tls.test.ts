import { execFile } from 'node:child_process';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiCertificates } from '#cloud/http/api-certificates.js';
import { fingerprintOf } from '#cloud/trust/certificates.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { CliHarness } from '#test/support/cli/cli-harness.js';
import { type RegistryHarness, startRegistry } from '#test/support/cloud-registry/registry-harness.js';
import { outsideTool } from '#test/support/outside-tool.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const run = promisify(execFile);
const folder = temporaryFolder();
const silent = pino({ level: 'silent' });

/** A self-signed certificate of this name. @returns its fingerprint */
async function selfSigned(name: string, certificate: string, key: string): Promise<string> {
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  await run(outsideTool('openssl'), ['req', '-x509', ...ec, '-nodes', ...subject, '-keyout', key, '-out', certificate]);
  return fingerprintOf(await readFile(certificate, 'utf8'));
}

function shownTo(port: number, servername: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', servername, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256.replaceAll(':', '').toLowerCase());
      socket.end();
    });
    socket.on('error', reject);
  });
}

describe('a login over TLS', () => {
  let cloud: RegistryHarness;
  let cli: CliHarness;
  let authority: string;
  beforeAll(async () => {
    cloud = await startRegistry(folder('generated'), { 'http-tls': 'generated' });
    cli = await CliHarness.make();
    authority = fingerprintOf(await readFile(folder('generated/keys/authority.crt'), 'utf8'));
  });
  afterAll(async () => {
    await cloud.stop();
    await cli.remove();
  });
  const login = (...args: string[]): ReturnType<CliHarness['run']> =>
    cli.run(['login', cloud.url, '--token', '-', ...args], { stdin: cloud.token });

  it('without the authority is refused, sends no token, and prints the fingerprint to compare', async () => {
    expect(cloud.url).toMatch(/^https:/);
    const { exit, stderr } = await login();
    expect(exit).toBe(3);
    expect(stderr).toContain('server.untrusted');
    expect(stderr).toContain(`--authority ${authority}`);
    const tokens = await cloud.ground.control.selectFrom('tokens').select('lastUsedAt').execute();
    expect(tokens).toEqual([{ lastUsedAt: null }]);
  });

  it('with another authority is refused, and says which one the server shows', async () => {
    const { exit, stderr } = await login('--authority', 'b'.repeat(64));
    expect(exit).toBe(3);
    expect(stderr).toContain(authority);
    expect((await login('--authority', 'abc')).exit).toBe(2);
  });

  it('with the authority is remembered, as openssl prints it too, and later commands check it', async () => {
    const colons = authority.toUpperCase().match(/../g)?.join(':') ?? '';
    const { exit, stdout } = await login('--authority', colons);
    expect([exit, stdout]).toEqual([0, expect.stringContaining('as owner (owner)')]);
    expect((await cli.run(['workspace', 'list'])).stdout).toContain('default');
    const shown = await cli.run(['context', 'show', '--output', 'json']);
    expect(JSON.parse(shown.stdout)).toMatchObject({ url: `${cloud.url}/`, authority });
    expect(shown.stdout).not.toContain(cloud.token);
  });

  it('by environment alone needs no file', async () => {
    const other = await CliHarness.make();
    const setup = { url: cloud.url, token: cloud.token, authority };
    expect((await other.run(['workspace', 'list'], setup)).exit).toBe(0);
    expect((await other.run(['workspace', 'list'], { ...setup, authority: 'c'.repeat(64) })).exit).toBe(3);
    await other.remove();
  });
});

describe('certificates from files', () => {
  it('are served under every name but the one that devices pin, and replaced while the listener runs', async () => {
    const [cert, key] = [folder('cert.pem'), folder('key.pem')];
    const first = await selfSigned('fleet.example', cert, key);
    const second = await selfSigned('fleet.example', folder('next.pem'), folder('next-key.pem'));
    const own = await selfSigned(controlPlaneServerName, folder('own.pem'), folder('own-key.pem'));
    const generated = {
      certificate: await readFile(folder('own.pem'), 'utf8'),
      privateKey: await readFile(folder('own-key.pem'), 'utf8'),
    };
    let current = generated;
    const certificates = await ApiCertificates.open(
      {
        generated: () => current,
        authorities: () => [generated.certificate],
        files: { certificate: cert, privateKey: key },
      },
      silent,
    );
    const server = createServer(certificates.options, (_, response) => response.end());
    certificates.attach(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      expect(await shownTo(port, 'fleet.example')).toBe(first);
      expect(await shownTo(port, controlPlaneServerName)).toBe(own);
      expect(await certificates.refresh()).toBe(false);

      await copyFile(folder('next.pem'), cert);
      expect(await certificates.refresh(), 'a certificate whose key is still the other').toBe(false);
      expect(await shownTo(port, 'fleet.example')).toBe(first);
      await copyFile(folder('next-key.pem'), key);
      expect(await certificates.refresh()).toBe(true);
      expect(await shownTo(port, 'fleet.example')).toBe(second);

      await writeFile(cert, 'no certificate');
      expect(await certificates.refresh()).toBe(false);
      expect(await shownTo(port, 'fleet.example')).toBe(second);

      await copyFile(folder('next.pem'), cert);
      const renewed = await selfSigned(controlPlaneServerName, folder('own.pem'), folder('own-key.pem'));
      current = {
        certificate: await readFile(folder('own.pem'), 'utf8'),
        privateKey: await readFile(folder('own-key.pem'), 'utf8'),
      };
      expect(await certificates.refresh()).toBe(true);
      expect(await shownTo(port, controlPlaneServerName)).toBe(renewed);
    } finally {
      server.close();
    }
  });

  it('that are not there, or do not fit together, keep the control plane from starting, and are named', async () => {
    const flags = {
      'http-tls': 'files',
      'http-tls-cert-file': folder('none.pem'),
      'http-tls-key-file': folder('k.pem'),
    };
    await expect(startRegistry(folder('tls-none'), flags)).rejects.toMatchObject({
      code: 'config.invalid',
      message: expect.stringContaining('none.pem') as string,
    });
    await selfSigned('a', folder('a.pem'), folder('a-key.pem'));
    await selfSigned('b', folder('b.pem'), folder('b-key.pem'));
    const parted = { ...flags, 'http-tls-cert-file': folder('a.pem'), 'http-tls-key-file': folder('b-key.pem') };
    await expect(startRegistry(folder('tls-parted'), parted)).rejects.toMatchObject({
      code: 'config.invalid',
      message: expect.stringContaining('b-key.pem') as string,
    });
  });
});
