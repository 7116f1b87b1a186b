/** Attacks over HTTP: on the operators' API, on the device gateway, and on the device's own port. */
import { readdir, readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readResponses, sendRaw } from '../../support/raw-http.js';
import type { AttackSite } from './site.js';
import { digits } from './site.js';

const deep = 10_000;
const workspaces = '/v1/workspaces/default';

export function apiAttacks(siteOf: () => AttackSite): void {
  let site: AttackSite;
  let digit: string;
  beforeAll(async () => {
    site = siteOf();
    digit = await readFile(join(digits, 'fixtures/digit.json'), 'utf8');
  });

  const isWell = async (): Promise<void> => {
    expect((await site.api(`${workspaces}/models`)).status).toBe(200);
    expect(await scored({})).toBe(200);
  };
  const score = (headers: Record<string, string>, method = 'POST', path = '/v2/models/digits/infer'): Promise<number> =>
    new Promise((resolve, reject) => {
      const options = { port: site.scoringPort, host: '127.0.0.1', path, method, headers, agent: false };
      const sent = request(options, (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode ?? 0));
      });
      sent.on('error', reject);
      sent.end(method === 'POST' ? digit : undefined);
    });
  const scored = (headers: Record<string, string>): Promise<number> =>
    score({ 'content-type': 'application/json', ...headers });

  describe('JSON', () => {
    it.each([
      ['an array in an array', '['.repeat(deep) + ']'.repeat(deep)],
      ['an object in an object', `${'{"a":'.repeat(deep)}1${'}'.repeat(deep)}`],
      ['an array that never ends', '['.repeat(deep)],
    ])('10,000 deep, %s, is refused by API and device, which go on', async (_what, text) => {
      expect((await site.postJson('/v1/workspaces', text)).status).toBe(400);
      const body = `{"inputs":${text}}`;
      for (const path of ['/v2/models/digits/infer', '/score', '/v1/models/digits:predict']) {
        const answer = await fetch(`http://127.0.0.1:${String(site.scoringPort)}${path}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        });
        expect(answer.status, path).toBe(400);
      }
      await isWell();
    });

    it.each([
      ['__proto__', '{"name":"polluted","__proto__":{"role":"owner","polluted":true}}'],
      ['constructor.prototype', '{"name":"polluted","constructor":{"prototype":{"polluted":true}}}'],
      ['__proto__ within', '{"name":"polluted","a":{"b":{"__proto__":{"polluted":true}}}}'],
    ])('that reaches for a prototype by %s changes nothing for anybody', async (_what, text) => {
      expect((await site.postJson('/v1/workspaces', text)).status).toBe(400);
      const tagged = `{"digest":"sha256:${'0'.repeat(64)}","envelope":{},"tags":{"__proto__":"x"}}`;
      expect((await site.postJson(`${workspaces}/images`, tagged)).status).toBe(400);
      const { status, text: listed } = await site.api('/v1/workspaces');
      expect([status, listed.includes('polluted')]).toEqual([200, false]);
      const polluting = await fetch(`http://127.0.0.1:${String(site.scoringPort)}/v2/models/digits/infer`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: digit.replace('{', '{"__proto__":{"inputs":[]},'),
      });
      expect([200, 400]).toContain(polluting.status);
      await isWell();
    });
  });

  describe('in paths', () => {
    it.each([
      `${workspaces}/blobs/..%2f..%2fkeys%2fauthority.json`,
      `${workspaces}/blobs/sha256:..%2f..%2f..%2fkeys%2fdirector.pem`,
      `${workspaces}/models/..%2f..%2f..%2fetc/versions/1`,
      '/v1/workspaces/..%2fdefault/models',
      '/v1/workspaces/%2e%2e/models',
      `${workspaces}/devices/cam-1%00/events`,
      `${workspaces}/devices/cam-1%2f..%2fcam-2`,
      `${workspaces}/devices/%23`,
      `${workspaces}/devices/+`,
      '/docs/static/..%2f..%2f..%2fpackage.json',
      '/..%2f..%2f..%2f..%2fetc%2fpasswd',
    ])('%s leads nowhere', async (path) => {
      const { status, text } = await site.api(path);
      expect([400, 404, 405, 422]).toContain(status);
      expect(text).not.toMatch(/BEGIN|root:|"private|"devDependencies"/);
    });

    it.each(['../x', '..', 'cam-1/desired', 'a\u0000b', '+', '#', 'A', ''])(
      'a name that is %j is given to nothing',
      async (name) => {
        expect((await site.postJson('/v1/workspaces', JSON.stringify({ name }))).status).toBe(400);
        const path = `${workspaces}/devices/cam-1/modules/${encodeURIComponent(name)}`;
        const body = JSON.stringify({ image: 'digits:1', settings: {} });
        const init = { method: 'PUT', body, headers: { 'content-type': 'application/json' } };
        expect([400, 404, 405]).toContain((await site.api(path, init)).status);
        expect(await readdir(join(site.world.folder, 'cam-1/modules'))).not.toContain(name);
      },
    );
  });

  it.each([
    ['a line break in a header', 'x-request-id: a\r\n\tb\r\n'],
    ['a bare line feed', 'x-a: b\nx-injected: 1\r\n'],
    ['two lengths', 'content-length: 3\r\ncontent-length: 4\r\n'],
    ['a length and chunks', 'content-length: 3\r\ntransfer-encoding: chunked\r\n'],
    ['a null', 'x-a: \u0000\r\n'],
  ])('headers with %s are refused whole, and come back in no answer', async (_what, field) => {
    for (const port of [site.world.ports.api, site.scoringPort]) {
      const text = `POST /v2 HTTP/1.1\r\nhost: localhost\r\n${field}\r\n{}`;
      const { received } = await sendRaw(port, { chunks: [Buffer.from(text, 'latin1')] }, 10_000);
      const [answer, ...more] = readResponses(received);
      expect([400, 401, 404, 405]).toContain(answer?.status);
      expect(answer?.headers['x-injected']).toBeUndefined();
      expect(more.filter(({ status }) => status < 400)).toEqual([]);
    }
    await isWell();
  });

  it('an id that would break a header is answered with another', async () => {
    const answer = await site.api(`${workspaces}/models/none/versions/1`, { headers: { 'x-request-id': 'a b\tc' } });
    expect(answer.headers.get('x-request-id') ?? '').not.toContain('\t');
  });

  describe('DNS rebinding and other pages', () => {
    it.each([
      ['a name that was pointed here', { host: 'rebound.evil.example' }, 421],
      ['a page of another site', { origin: 'https://evil.example' }, 403],
      ['a form of another site', { origin: 'https://evil.example', 'content-type': 'text/plain' }, 403],
      ['a page without an origin', { origin: 'null' }, 403],
      ['an image of another site', { 'sec-fetch-site': 'cross-site' }, 403],
    ])('%s gets no score of the device, and a program does', async (_what, headers, status) => {
      expect(await scored(headers)).toBe(status);
      expect(await score(headers, 'GET', '/metrics')).toBe(status);
      expect(await scored({})).toBe(200);
      expect(
        await scored({
          origin: `http://127.0.0.1:${String(site.scoringPort)}`,
          host: `127.0.0.1:${String(site.scoringPort)}`,
        }),
      ).toBe(200);
    });
  });

  describe('tokens', () => {
    it.each([
      ['none', null],
      ['a guess', 'flt_AAAAAAAAAAAAAAAAAAAAAA'],
      ['half of one', ''],
      ['one with something behind', ' x'],
    ])('%s opens nothing, and the owner’s does', async (what, token) => {
      const { ownerToken } = site.world;
      const sent =
        what === 'half of one'
          ? ownerToken.slice(0, -8)
          : what.startsWith('one with')
            ? `${ownerToken}${token ?? ''}`
            : token;
      const { status, text } = await site.api(`${workspaces}/devices`, {}, sent);
      expect(status).toBe(401);
      expect(text).not.toContain(ownerToken.slice(0, -8));
      expect((await site.api(`${workspaces}/devices`)).status).toBe(200);
    });

    it('of an operator of another workspace opens nothing of this one, and its own', async () => {
      await site.world.flotilla('workspace', 'create', 'elsewhere');
      const args = ['token', 'create', '--name', 'other', '--role', 'owner', '--workspace', 'elsewhere'];
      const { token } = (await site.world.flotillaJson(...args)) as { token: string };
      expect((await site.api('/v1/workspaces/elsewhere/devices', {}, token)).status).toBe(200);
      for (const path of ['devices', 'devices/cam-1', 'models', 'images', 'activities', 'events']) {
        expect((await site.api(`${workspaces}/${path}`, {}, token)).status, path).toBe(403);
      }
      const retire = await site.api(`${workspaces}/devices/cam-1/retire`, { method: 'POST' }, token);
      expect(retire.status).toBe(403);
      expect((await site.postJson('/v1/workspaces', '{"name":"mine"}', token)).status).toBe(403);
      expect((await site.api(`${workspaces}/devices/cam-1`)).text).toContain('"online":true');
    });
  });
}
