/** A device renews at the real gateway. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CertificateRenewal } from '#agent/identity/certificate-renewal.js';
import { KeptTrust } from '#agent/identity/device-trust.js';
import { enrol } from '#agent/identity/enrol.js';
import { readCapabilities } from '#agent/identity/capabilities.js';
import { identityDocument, KeptIdentity } from '#agent/identity/identity.js';
import { stateFolder, type StateFolder } from '#agent/store/state-folder.js';
import { createAuthority } from '#cloud/trust/certificates.js';
import { systemClock } from '#shared/kernel/clock.js';
import { formatEnrolmentToken } from '#shared/protocol/enrolment.js';
import { removeFolder } from '#test/support/agent/agent-harness.js';
import { addressOf, silent } from '#test/support/fleet-world.js';
import { GatewayWorld } from '#test/support/gateway-world.js';

const proxy = { proxy: undefined, noProxy: '' };
let gateway: GatewayWorld;
let folder: StateFolder;
let kept: KeptIdentity;
let wallMs: number;
let trust: KeptTrust;
let connected: boolean;
let renewal: CertificateRenewal;

beforeEach(async () => {
  gateway = await GatewayWorld.open();
  folder = stateFolder(await mkdtemp(join(tmpdir(), 'fr-')));
  const { secret } = await gateway.fleet.enrolment.createToken('w', 60_000, {});
  const token = formatEnrolmentToken({
    url: gateway.url,
    workspace: 'w',
    secret,
    authority: gateway.identity.authorityFingerprint,
    director: gateway.fleet.director.publicKey,
    publishers: [gateway.fleet.director.publicKey],
  });
  const input = { folder, token, device: 'cam', tags: {}, capabilities: readCapabilities(), replace: false, proxy };
  kept = new KeptIdentity(folder.identity, await enrol(input, systemClock));
  const opened = await KeptTrust.open(folder.trust);
  if (opened === undefined) throw new Error('no trust');
  trust = opened;
  connected = true;
  wallMs = gateway.fleet.clock.nowMs;
  renewal = new CertificateRenewal({
    identity: kept,
    trust,
    proxy,
    clock: { ...systemClock, now: () => wallMs },
    jitter: 0,
    everyMs: 60_000,
    logger: silent,
    trustedNow: () => Number.NEGATIVE_INFINITY,
    connected: () => connected,
  });
});
afterEach(async () => {
  await gateway.close();
  await removeFolder(folder.root);
});

it('renews when it is time, with a new key, and keeps nothing of the old one on disk', async () => {
  const before = kept.current();
  expect(await renewal.look()).toBe(false);
  wallMs = Date.parse(new X509Certificate(before.certificate).validTo) - 86_400_000;
  expect(await renewal.look()).toBe(true);
  const after = kept.current();
  expect(after.privateKey).not.toBe(before.privateKey);
  expect(new X509Certificate(after.certificate).checkPrivateKey(createPrivateKey(after.privateKey))).toBe(true);
  expect(after.sealingKey).toBe(before.sealingKey);
  expect((await identityDocument(folder.identity).read())?.value).toEqual(after);
  expect((await stat(folder.identity)).mode & 0o777).toBe(0o600);
  // A damaged file falls back to its predecessor: it must not be the old identity.
  expect(await readFile(`${folder.identity}.previous`, 'utf8')).toContain(JSON.stringify(after.certificate));
  await writeFile(folder.identity, 'x');
  expect((await identityDocument(folder.identity).read())?.value).toEqual(after);
  expect((await gateway.fleet.devices.findDevice(addressOf('cam')))?.fingerprints).toHaveLength(2);
  // Whatever the wall clock says, not again at once.
  wallMs += 900 * 86_400_000;
  expect(await renewal.look()).toBe(false);
});

it('renews when another authority is listed before its own, once it is connected, and then not again at once', async () => {
  const { certificate } = await createAuthority(Date.now(), true);
  const before = trust.current();
  await trust.replace({ ...before, authorities: [...before.authorities, certificate] });
  expect(await renewal.look()).toBe(false);
  await trust.replace({ ...before, authorities: [certificate, ...before.authorities] });
  connected = false;
  expect(await renewal.look()).toBe(false);
  connected = true;
  expect(await renewal.look()).toBe(true);
  expect(await renewal.look()).toBe(false);
});

it('keeps what it has when it is refused', async () => {
  const before = kept.current();
  await gateway.fleet.revocation.revoke(addressOf('cam'), 'stolen');
  wallMs += 3650 * 86_400_000;
  expect(await renewal.look()).toBe(false);
  expect(kept.current()).toBe(before);
});
