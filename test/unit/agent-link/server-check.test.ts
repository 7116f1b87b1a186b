import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkServer } from '#agent/link/server-check.js';
import { type TestCertificate, testAuthority, testCertificate } from '#test/support/test-certificates.js';

const name = 'control-plane.flotilla.internal';
const names = [name];
const unknown = Number.NEGATIVE_INFINITY;
const day = 86_400_000;

describe('whether a server is the control plane', () => {
  let ours: TestCertificate;
  let other: TestCertificate;
  let server: TestCertificate;
  beforeAll(async () => {
    [ours, other] = await Promise.all([testAuthority(), testAuthority()]);
    server = await testCertificate({ commonName: 'server', issuer: ours, names, usage: 'server' });
  });
  const judge = (chain: readonly TestCertificate[], trustedNow = unknown, authorities = [ours.certificate]) =>
    checkServer(
      chain.map(({ der }) => der),
      { authorities, name, trustedNow },
    );

  it('accepts a certificate of the pinned authority, whether or not the authority comes along', () => {
    expect(judge([server])).toMatchObject({ ok: true });
    expect(judge([server, ours])).toMatchObject({ ok: true });
    expect(judge([server], Date.now())).toMatchObject({ ok: true });
  });

  it('accepts one among several pinned authorities, in one text or in several', () => {
    expect(judge([server], unknown, [other.certificate, ours.certificate])).toMatchObject({ ok: true });
    expect(judge([server], unknown, [`${other.certificate}\n${ours.certificate}`])).toMatchObject({ ok: true });
  });

  it('accepts an intermediate of the pinned authority', async () => {
    const between = await testAuthority('Between', { issuer: ours });
    const leaf = await testCertificate({ commonName: 'server', issuer: between, names, usage: 'server' });
    expect(judge([leaf, between])).toMatchObject({ ok: true });
    expect(judge([leaf])).toMatchObject({ ok: false });
  });

  it('accepts a new authority that the pinned one cross-signed, by whichever of the two is pinned', async () => {
    const next = await testAuthority('Next');
    const crossed = await testAuthority('Next', { issuer: ours, keys: next.keys });
    const leaf = await testCertificate({ commonName: 'server', issuer: next, names, usage: 'server' });
    expect(judge([leaf, crossed])).toMatchObject({ ok: true });
    expect(judge([leaf, next, crossed])).toMatchObject({ ok: true });
    expect(judge([leaf, crossed], unknown, [next.certificate])).toMatchObject({ ok: true });
    expect(judge([leaf, next])).toMatchObject({ ok: false });
  });

  const wrong: [string, RegExp, () => Promise<TestCertificate[]>][] = [
    ['nothing', /no certificate/, async () => []],
    [
      'a certificate of another authority with the same name',
      /no authority that this device trusts/,
      async () => [await testCertificate({ commonName: 'server', issuer: other, names, usage: 'server' }), other],
    ],
    [
      'a certificate that signed itself',
      /no authority that this device trusts/,
      async () => [await testCertificate({ commonName: 'server', names, usage: 'server' })],
    ],
    [
      'another name',
      /does not carry the name/,
      async () => [
        await testCertificate({ commonName: name, issuer: ours, names: ['else.internal'], usage: 'server' }),
      ],
    ],
    [
      'the certificate of a device',
      /not for a server/,
      async () => [await testCertificate({ commonName: 'w/a', issuer: ours, names, usage: 'client' })],
    ],
    [
      'a certificate without a purpose',
      /not for a server/,
      async () => [await testCertificate({ commonName: 'server', issuer: ours, names })],
    ],
    ['the authority itself', /certificate of an authority/, async () => [ours]],
    [
      'a certificate that a device signed',
      /no authority that this device trusts/,
      async () => {
        const device = await testCertificate({ commonName: 'w/a', issuer: ours, usage: 'client' });
        return [await testCertificate({ commonName: 'server', issuer: device, names, usage: 'server' }), device];
      },
    ],
    [
      'a chain longer than any',
      /no authority that this device trusts/,
      async () => {
        const chain: TestCertificate[] = [];
        let above = ours;
        for (let depth = 0; depth < 5; depth++) {
          above = await testAuthority(`Between ${String(depth)}`, { issuer: above });
          chain.unshift(above);
        }
        return [await testCertificate({ commonName: 'server', issuer: above, names, usage: 'server' }), ...chain];
      },
    ],
  ];
  it.each(wrong)('refuses %s', async (_what, message, make) => {
    const verdict = judge(await make());
    expect(verdict).toMatchObject({ ok: false });
    expect(verdict.ok ? '' : verdict.error).toMatch(message);
  });

  it('refuses what ended before the trusted time, and only that', async () => {
    const [from, to] = [Date.now() - 20 * day, Date.now() - 10 * day];
    const ended = await testCertificate({ commonName: 'server', issuer: ours, names, usage: 'server', from, to });
    expect(judge([ended], to + 2000)).toMatchObject({ ok: false });
    expect(judge([ended], to - 2000)).toMatchObject({ ok: true });
    // A device that knows nothing of the time has nothing to hold against it.
    expect(judge([ended], unknown)).toMatchObject({ ok: true });
    expect(judge([ended], 0)).toMatchObject({ ok: true });
  });

  it('refuses what an authority signed that has ended itself', async () => {
    const to = Date.now() - 10 * day;
    const old = await testAuthority('Old', { from: to - day, to });
    const leaf = await testCertificate({ commonName: 'server', issuer: old, names, usage: 'server' });
    expect(judge([leaf], Date.now(), [old.certificate])).toMatchObject({ ok: false });
  });

  it('accepts a certificate made after the last time that is known, since that time is a lower bound', async () => {
    const from = Date.now() - day;
    const fresh = await testCertificate({ commonName: 'server', issuer: ours, names, usage: 'server', from });
    expect(judge([fresh], from - 400 * day)).toMatchObject({ ok: true });
  });

  it('answers, and refuses, whatever bytes are presented or pinned', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), fc.string(), (chain, pem) => {
        expect(checkServer(chain, { authorities: [pem], name, trustedNow: 0 }).ok).toBe(false);
      }),
    );
  });

  it('refuses a certificate of which any one byte was changed', () => {
    fc.assert(
      fc.property(fc.nat({ max: server.der.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const forged = Buffer.from(server.der);
        forged[at] = (forged[at] ?? 0) ^ change;
        expect(checkServer([forged], { authorities: [ours.certificate], name, trustedNow: unknown }).ok).toBe(false);
      }),
      { numRuns: 300 },
    );
  });
});
