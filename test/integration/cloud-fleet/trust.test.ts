import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { serverLifetimeMs } from '#cloud/trust/certificates.js';
import { ensureInstallationIdentity, type InstallationIdentity } from '#cloud/trust/installation-identity.js';
import { outsideTool } from '#test/support/outside-tool.js';

describe('the identity of an installation', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'flotilla-trust-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const ensure = (nowMs = Date.now(), names: string[] = []): Promise<InstallationIdentity> =>
    ensureInstallationIdentity({ folder, names, hostname: 'machine', nowMs });

  it('is made once and the same at every later start', async () => {
    const first = await ensure();
    const second = await ensure();
    expect(second.authorityFingerprint).toBe(first.authorityFingerprint);
    expect(second.director.publicKey).toBe(first.director.publicKey);
    expect(second.server).toEqual(first.server);
  });

  it('serves the names that devices and people use, each under the authority', async () => {
    const { server, authority, authorityFingerprint } = await ensure(Date.now(), ['fleet.example', '10.1.2.3']);
    const certificate = new X509Certificate(server.certificate);
    const issuer = new X509Certificate(authority);
    expect(certificate.verify(issuer.publicKey)).toBe(true);
    expect(issuer.ca).toBe(true);
    expect(certificate.ca).toBe(false);
    for (const name of ['control-plane.flotilla.internal', 'localhost', 'machine', 'fleet.example']) {
      expect(certificate.checkHost(name), name).toBe(name);
    }
    for (const address of ['127.0.0.1', '::1', '10.1.2.3']) expect(certificate.checkIP(address)).toBeDefined();
    expect(certificate.checkHost('elsewhere.example')).toBeUndefined();
    expect(authorityFingerprint).toMatch(/^[0-9a-f]{64}$/);
  });

  it('keeps secret keys from other users', async () => {
    await ensure();
    for (const file of ['director.pem', 'authority.json', 'server.json', 'server.key']) {
      expect((await stat(join(folder, file))).mode & 0o777, file).toBe(0o600);
    }
  });

  it('renews the server certificate near its end and for new names, and never the authority', async () => {
    const first = await ensure();
    const later = await ensure(Date.now() + serverLifetimeMs * 0.9);
    expect(later.server).not.toEqual(first.server);
    const named = await ensure(Date.now() + serverLifetimeMs * 0.9, ['new.example']);
    expect(named.server).not.toEqual(later.server);
    expect(named.authorityFingerprint).toBe(first.authorityFingerprint);
  });

  it('makes a damaged server certificate anew, and refuses a damaged authority or director key', async () => {
    const first = await ensure();
    await writeFile(join(folder, 'server.json'), 'x');
    expect((await ensure()).authorityFingerprint).toBe(first.authorityFingerprint);
    const kept = await readFile(join(folder, 'authority.json'));
    await writeFile(join(folder, 'authority.json'), '{}');
    await expect(ensure()).rejects.toMatchObject({ code: 'state.corrupt' });
    await writeFile(join(folder, 'authority.json'), kept);
    await writeFile(join(folder, 'director.pem'), 'x');
    await expect(ensure()).rejects.toMatchObject({ code: 'state.corrupt' });
  });

  it('is accepted by OpenSSL', async () => {
    const openssl = outsideTool('openssl');
    await ensure();
    const { stdout } = await promisify(execFile)(openssl, [
      'verify',
      '-x509_strict',
      '-CAfile',
      join(folder, 'authority.crt'),
      '-purpose',
      'sslserver',
      '-verify_hostname',
      'control-plane.flotilla.internal',
      join(folder, 'server.crt'),
    ]);
    expect(stdout).toContain('OK');
  });
});
