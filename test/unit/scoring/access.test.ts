import { describe, expect, it } from 'vitest';
import { AccessGate } from '#shared/scoring/access/access-gate.js';
import {
  accessMode,
  hostAccess,
  isLoopback,
  readHostName,
  readOrigin,
} from '#shared/scoring/access/access-settings.js';
import { parseAuthority } from '#shared/scoring/access/authority.js';
import { secretDigest } from '#shared/scoring/access/bearer.js';
import { type HostAccess, loopbackAccess } from '#shared/scoring/access/host-access.js';
import { type AccessQuestion, judgeRequest } from '#shared/scoring/access/judge-request.js';

const asked = (more: Partial<AccessQuestion>): AccessQuestion => ({
  host: 'localhost:8800',
  origin: undefined,
  fetchSite: undefined,
  isPreflight: false,
  isHealth: false,
  ...more,
});
const judge = (access: Partial<HostAccess>, more: Partial<AccessQuestion>): string => {
  const verdict = judgeRequest({ ...loopbackAccess, ...access }, asked(more), () => 'none');
  return verdict.kind === 'refused' ? verdict.code : verdict.kind;
};

describe('what a request names in Host', () => {
  it.each([
    ['localhost', 'localhost', false],
    ['LOCALHOST.:80', 'localhost', false],
    ['127.0.0.1:8800', '127.0.0.1', true],
    ['[::1]:8800', '::1', true],
    ['edge-1.Factory.example:1', 'edge-1.factory.example', false],
    ['127.0.0.1.evil.example', '127.0.0.1.evil.example', false],
  ])('%s is read', (text, name, isAddress) => {
    expect(parseAuthority(text)).toEqual({ name, isAddress });
  });

  it.each(['', ':80', 'a b', 'a/b', 'user@localhost', '[::1', '::1', 'a:b', 'a:123456', 'a\u0000b', 'a\\b', '[x]'])(
    '%j is none',
    (text) => {
      expect(parseAuthority(text)).toBeUndefined();
    },
  );

  it.each<[string, Partial<HostAccess>, string | undefined, string]>([
    ['its loopback name', {}, 'localhost:8800', 'admitted'],
    ['a loopback address', {}, '127.0.0.2', 'admitted'],
    ['the loopback address of IPv6', {}, '[::1]:8800', 'admitted'],
    ['nothing, as HTTP/1.0 may', {}, undefined, 'admitted'],
    ['a name that its page may have pointed here', {}, 'rebound.evil.example:8800', 'request.wrong-host'],
    ['a name that begins like an address', {}, '127.0.0.1.evil.example', 'request.wrong-host'],
    ['a name that begins like localhost', {}, 'localhost.evil.example', 'request.wrong-host'],
    ['nonsense', {}, 'a b', 'request.wrong-host'],
    ['the empty text', {}, '', 'request.wrong-host'],
    ['an address of the machine that is not bound', {}, '10.0.0.5:8800', 'request.wrong-host'],
    ['the address that is bound', { addresses: ['10.0.0.5'] }, '10.0.0.5:8800', 'admitted'],
    ['any address where all are bound', { addresses: 'any' }, '10.0.0.5:8800', 'admitted'],
    ['any name where all addresses are bound', { addresses: 'any' }, 'evil.example', 'request.wrong-host'],
    ['a name that is listed', { hostNames: ['edge-1'] }, 'EDGE-1:8800', 'admitted'],
    ['a name below one that is listed', { hostNames: ['edge-1'] }, 'x.edge-1', 'request.wrong-host'],
  ])('%s', (_what, access, host, verdict) => {
    expect(judge(access, { host })).toBe(verdict);
  });
});

describe('what a browser says of the page that asks', () => {
  const named = { corsOrigins: ['https://app.example'] };
  it.each<[string, Partial<HostAccess>, Partial<AccessQuestion>, string]>([
    ['a program', {}, {}, 'admitted'],
    ['a page of another site', {}, { origin: 'https://evil.example' }, 'request.wrong-origin'],
    ['a page without an origin, as in a sandbox', {}, { origin: 'null' }, 'request.wrong-origin'],
    ['a page of another port of this machine', {}, { origin: 'http://localhost:3000' }, 'request.wrong-origin'],
    ['a page of this host', {}, { origin: 'http://LOCALHOST:8800' }, 'admitted'],
    ['an image in a page of another site', {}, { fetchSite: 'cross-site' }, 'request.wrong-origin'],
    ['an image in a page of another port', {}, { fetchSite: 'same-site' }, 'request.wrong-origin'],
    ['an image in a page of this host', {}, { fetchSite: 'same-origin' }, 'admitted'],
    ['a person who typed the address', {}, { fetchSite: 'none' }, 'admitted'],
    ['a page that is named', named, { origin: 'https://app.example', fetchSite: 'cross-site' }, 'admitted'],
    ['a page that is named, of another scheme', named, { origin: 'http://app.example' }, 'request.wrong-origin'],
    ['a page below one that is named', named, { origin: 'https://x.app.example' }, 'request.wrong-origin'],
    ['a page where all are named', { corsOrigins: ['*'] }, { origin: 'null' }, 'admitted'],
    ['a preflight of a page that is named', named, { origin: 'https://app.example', isPreflight: true }, 'preflight'],
    ['a preflight of another', named, { origin: 'https://evil.example', isPreflight: true }, 'request.wrong-origin'],
    [
      'a page that is named, by a name that is not ours',
      named,
      { origin: 'https://app.example', host: 'evil.example' },
      'request.wrong-host',
    ],
  ])('%s', (_what, access, question, verdict) => {
    expect(judge(access, question)).toBe(verdict);
  });

  it('tells a page that is named that it may read', () => {
    const verdict = judgeRequest(
      { ...loopbackAccess, ...named },
      asked({ origin: 'https://app.example' }),
      () => 'none',
    );
    expect(verdict).toEqual({ kind: 'admitted', corsOrigin: 'https://app.example' });
  });
});

describe('keys', () => {
  const keys = (...all: string[]): Partial<HostAccess> => ({
    mode: 'keys',
    keyDigests: all.map((key) => secretDigest(key).toString('hex')),
  });
  const gate = new AccessGate({ ...loopbackAccess, ...keys('first', 'second'), corsOrigins: ['*'] }, 'control');
  const of = (authorization: string | undefined, more: Partial<AccessQuestion> = {}): string => {
    const verdict = gate.judge(asked(more), authorization);
    return verdict.kind === 'refused' ? verdict.code : verdict.kind;
  };

  it.each<[string, string | undefined, Partial<AccessQuestion>, string]>([
    ['none', undefined, {}, 'auth.missing'],
    ['another scheme', 'Basic first', {}, 'auth.missing'],
    ['an unknown one', 'Bearer third', {}, 'auth.invalid'],
    ['the digest of one', `Bearer ${secretDigest('first').toString('hex')}`, {}, 'auth.invalid'],
    ['the first', 'Bearer first', {}, 'admitted'],
    ['the last', 'bearer second', {}, 'admitted'],
    ['the control token', 'Bearer control', {}, 'admitted'],
    ['none, for health', undefined, { isHealth: true }, 'admitted'],
    ['none, for a preflight', undefined, { origin: 'https://a.example', isPreflight: true }, 'preflight'],
    ['one, by a name that is not ours', 'Bearer first', { host: 'evil.example' }, 'request.wrong-host'],
  ])('%s', (_what, authorization, more, verdict) => {
    expect(of(authorization, more)).toBe(verdict);
  });

  it('count no more from the moment that they are gone', () => {
    const changing = new AccessGate({ ...loopbackAccess, ...keys('first') }, undefined);
    expect(changing.judge(asked({}), 'Bearer first').kind).toBe('admitted');
    changing.replace({ ...loopbackAccess, ...keys() });
    expect(changing.judge(asked({}), 'Bearer first')).toMatchObject({ code: 'auth.invalid' });
  });

  it('are never passed by, whatever a request before brought', () => {
    gate.remember('localhost:8800');
    expect(gate.admitsAtOnce({ host: 'localhost:8800' })).toBe(false);
    const open = new AccessGate(loopbackAccess, undefined);
    expect(open.admitsAtOnce({ host: 'localhost:8800' })).toBe(false);
    open.remember('localhost:8800');
    expect(open.admitsAtOnce({ host: 'localhost:8800' })).toBe(true);
    expect(open.admitsAtOnce({ host: 'localhost:8801' })).toBe(false);
    expect(open.admitsAtOnce({ host: 'localhost:8800', origin: 'https://evil.example' })).toBe(false);
    expect(open.admitsAtOnce({ host: 'localhost:8800', 'sec-fetch-site': 'cross-site' })).toBe(false);
  });
});

describe('who may score, from what a person sets', () => {
  it.each([
    [undefined, '127.0.0.1', false, 'open'],
    [undefined, '::1', true, 'open'],
    ['keys', '127.0.0.1', false, 'keys'],
    [undefined, '10.0.0.5', true, 'keys'],
    ['open', '0.0.0.0', false, 'open'],
    ['open', '0.0.0.0', true, 'open'],
  ] as const)('said %s, bound on %s, keys %s: %s', (access, address, hasKeys, mode) => {
    expect(accessMode({ access, address }, hasKeys, '')).toBe(mode);
  });

  it.each(['0.0.0.0', '::', '10.0.0.5', 'fe80::1', '128.0.0.1'])('%s without a key is refused', (address) => {
    const open = (): unknown => accessMode({ access: undefined, address }, false, 'make a key');
    expect(open).toThrow(`${address} is reachable from other machines, and there is no key`);
    expect(open).toThrow('make a key');
  });

  it('a machine is known by its name where others reach it', () => {
    const settings = { access: undefined, hostNames: ['a'], corsOrigins: [] };
    expect(hostAccess({ ...settings, address: '0.0.0.0' }, 'keys', [], 'Edge-1')).toMatchObject({
      hostNames: ['a', 'edge-1'],
      addresses: 'any',
    });
    expect(hostAccess({ ...settings, address: '127.0.0.1' }, 'open', [], 'edge-1')).toMatchObject({
      hostNames: ['a'],
      addresses: ['127.0.0.1'],
    });
  });

  it('loopback is what cannot be reached from elsewhere', () => {
    expect(['127.0.0.1', '127.9.9.9', '::1'].every(isLoopback)).toBe(true);
    expect(['0.0.0.0', '::', '10.0.0.1', '::ffff:127.0.0.1', '1270.0.0.1'].some(isLoopback)).toBe(false);
  });

  it.each([
    ['Edge-1.Factory.example', 'edge-1.factory.example'],
    ['edge_1', 'edge_1'],
    ['edge-1:8800', undefined],
    ['https://edge-1', undefined],
    ['*', undefined],
    ['', undefined],
  ])('the host name %j is %j', (text, name) => {
    expect(readHostName(text)).toBe(name);
  });

  it.each([
    ['https://App.example', 'https://app.example'],
    ['http://10.0.0.5:3000', 'http://10.0.0.5:3000'],
    ['*', '*'],
    ['https://app.example/', undefined],
    ['https://app.example:443', undefined],
    ['app.example', undefined],
    ['null', undefined],
    ['file:///x', undefined],
  ])('the origin %j is %j', (text, origin) => {
    expect(readOrigin(text)).toBe(origin);
  });
});
