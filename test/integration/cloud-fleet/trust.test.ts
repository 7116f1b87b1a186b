import { execFile } from 'node:child_process';
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createAuthority, serverLifetimeMs } from '#cloud/trust/certificates.js';
import {
  ensureInstallationIdentity,
  type IdentityOptions,
  type InstallationIdentity,
} from '#cloud/trust/installation-identity.js';
import { KeySeal } from '#cloud/trust/sealed-key.js';
import { outsideTool } from '#test/support/outside-tool.js';

describe('the identity of an installation', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'flotilla-trust-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const ensure = (
    nowMs = Date.now(),
    names: string[] = [],
    more: Partial<IdentityOptions> = {},
  ): Promise<InstallationIdentity> =>
    ensureInstallationIdentity({ folder, names, hostname: 'machine', nowMs, ...more });

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
    for (const file of ['director.json', 'authority.json', 'at-rest.key', 'server.json', 'server.key']) {
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
    await writeFile(join(folder, 'director.json'), 'x');
    await expect(ensure()).rejects.toMatchObject({ code: 'state.corrupt' });
  });

  it('seals the private keys of director and authority, so that its files without the key file tell nothing', async () => {
    const { issuer } = await ensure();
    for (const file of ['director.json', 'authority.json']) {
      expect(await readFile(join(folder, file), 'utf8')).not.toContain('PRIVATE KEY');
    }
    const keyFile = join(folder, 'at-rest.key');
    const kept = await readFile(keyFile);
    await rm(keyFile);
    await expect(ensure()).rejects.toMatchObject({ code: 'config.invalid' });
    await writeFile(keyFile, randomBytes(32).toString('base64'));
    await expect(ensure()).rejects.toMatchObject({ code: 'config.invalid' });
    await writeFile(keyFile, kept);
    expect((await ensure()).issuer.fingerprint).toBe(issuer.fingerprint);
  });

  it('changes from a key file to a passphrase, which nothing opens without', async () => {
    const first = await ensure();
    const keyFile = join(folder, 'at-rest.key');
    const sealed = { atRest: { keyFile, passphrase: 'a passphrase of some length' } };
    await ensure(Date.now(), [], sealed);
    await rm(keyFile);
    expect((await ensure(Date.now(), [], sealed)).director.publicKey).toBe(first.director.publicKey);
    await expect(ensure()).rejects.toThrow('keys.passphraseFile');
    const wrong = { atRest: { keyFile, passphrase: 'another passphrase' } };
    await expect(ensure(Date.now(), [], wrong)).rejects.toMatchObject({ code: 'state.corrupt' });
  });

  it('keeps one sealed key from standing in for another', async () => {
    await ensure();
    const seal = await KeySeal.open({ keyFile: join(folder, 'at-rest.key') });
    const sealed = await seal.seal('director', 'secret');
    expect(await seal.open('director', sealed)).toBe('secret');
    await expect(seal.open('authority', sealed)).rejects.toMatchObject({ code: 'state.corrupt' });
  });

  describe("with an operator's own authority", () => {
    let files: string;
    let own: { certificates: string; privateKey: string };
    beforeAll(async () => {
      files = await mkdtemp(join(tmpdir(), 'flotilla-own-'));
      own = await makeChain();
    });
    afterAll(() => rm(files, { recursive: true, force: true }));
    const openssl = async (...args: string[]): Promise<string> =>
      (await promisify(execFile)(outsideTool('openssl'), args, { cwd: files })).stdout;
    const text = (name: string): Promise<string> => readFile(join(files, name), 'utf8');

    /** An RSA root, and an intermediate on P-384 that it signed. */
    const makeChain = async (): Promise<{ certificates: string; privateKey: string }> => {
      const ca = 'basicConstraints=critical,CA:TRUE';
      await openssl(
        ...'req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.crt -days 30 -subj /O=Plant/CN=Root'.split(
          ' ',
        ),
        '-addext',
        'keyUsage=critical,keyCertSign,cRLSign',
      );
      await openssl(
        ...'req -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout mid.key -out mid.csr -subj /O=Plant/CN=Devices'.split(
          ' ',
        ),
      );
      await writeFile(
        join(files, 'mid.ext'),
        `${ca}\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n`,
      );
      await openssl(
        ...'x509 -req -in mid.csr -CA root.crt -CAkey root.key -CAcreateserial -days 20 -extfile mid.ext -out mid.crt'.split(
          ' ',
        ),
      );
      return { certificates: (await text('mid.crt')) + (await text('root.crt')), privateKey: await text('mid.key') };
    };

    it('pins its root, and OpenSSL believes what its intermediate signs, with its revocation list', async () => {
      const identity = await ensure(Date.now(), [], { ownAuthority: own });
      expect(identity.authority.trim()).toBe((await text('root.crt')).trim());
      const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const spki = publicKey.export({ format: 'der', type: 'spki' });
      const validity = { nowMs: Date.now(), lifetimeMs: 90 * 86_400_000 };
      const issued = await identity.issuer.issueDevice({ workspace: 'w', device: 'cam-1' }, spki, validity);
      await writeFile(join(files, 'device.crt'), issued.certificate);
      // It cannot outlive its authority.
      expect(issued.notAfterMs).toBeLessThan(Date.now() + 21 * 86_400_000);
      await writeFile(join(files, 'crl.pem'), await identity.issuer.revocationList([], Date.now()));
      const verify = ['verify', '-x509_strict', '-crl_check', '-CRLfile', 'crl.pem', '-purpose', 'sslclient'];
      const chain = ['-CAfile', join(folder, 'authority.crt'), 'device.crt'];
      expect(await openssl(...verify, ...chain)).toContain('OK');
      const revoked = [{ serial: issued.serial, revokedAtMs: Date.now() }];
      await writeFile(join(files, 'crl.pem'), await identity.issuer.revocationList(revoked, Date.now()));
      await expect(openssl(...verify, ...chain)).rejects.toThrow('certificate revoked');
      // The next start needs the setting no more, and refuses another.
      expect((await ensure()).issuer.fingerprint).toBe(identity.issuer.fingerprint);
      const { certificate: certificates, privateKey } = await createAuthority(Date.now());
      await expect(ensure(Date.now(), [], { ownAuthority: { certificates, privateKey } })).rejects.toMatchObject({
        code: 'config.invalid',
      });
    });

    it.each<[string, (own: { certificates: string; privateKey: string }) => Promise<object> | object, string]>([
      ['without its root', async (own) => ({ ...own, certificates: await text('mid.crt') }), 'up to the root'],
      [
        'in the wrong order',
        async (own) => ({ ...own, certificates: (await text('root.crt')) + own.certificates }),
        'not the key of the first',
      ],
      [
        'with the key of another',
        async (own) => ({ ...own, privateKey: await text('root.key') }),
        'not the key of the first',
      ],
      ['that is no authority', () => ({}), 'no certificate authority'],
      ['that is no PEM', (own) => ({ ...own, certificates: 'x' }), 'holds no certificate'],
    ])('refuses one %s', async (_what, change, message) => {
      const { server } = await ensure();
      const leaf = { certificates: server.certificate, privateKey: server.privateKey };
      const changed = { ...(message === 'no certificate authority' ? leaf : own), ...(await change(own)) };
      await rm(join(folder, 'authority.json'));
      await expect(ensure(Date.now(), [], { ownAuthority: changed })).rejects.toThrow(message);
    });
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
