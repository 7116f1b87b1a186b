import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFile, stat } from 'node:fs/promises';
import { generateKeyPair } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import type { ContextFile } from '#cloud/cli/context-file.js';
import { loginByDevice } from '#cloud/cli/oidc-login.js';
import { CliHarness, type CliRun } from '#test/support/cli/cli-harness.js';
import { type Answer, type RegistryHarness, startRegistry } from '#test/support/cloud-registry/registry-harness.js';
import { audience, clientId, OidcIssuer } from '#test/support/oidc-issuer.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
let issuer: OidcIssuer;
let cloud: RegistryHarness;
const settings = (at: OidcIssuer): Record<string, string> => ({
  'oidc-issuer': at.issuer,
  'oidc-audience': audience,
  'oidc-workspace-claim': 'plant',
  'oidc-mapping': 'fleet-ops=contributor,fleet-admins=owner,watchers=reader',
});
beforeAll(async () => {
  issuer = await OidcIssuer.start();
  cloud = await startRegistry(folder('data'), settings(issuer));
});
afterAll(async () => {
  await cloud.stop();
  await issuer.stop();
});

const as = (token: string, server = cloud): Promise<Answer> =>
  server.request('GET', '/v1/self', undefined, { authorization: `Bearer ${token}` });
const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const seconds = (): number => Math.floor(Date.now() / 1000);

describe('a token of the issuer', () => {
  it('opens what its claims are mapped to: the strongest role, and the workspace that is named', async () => {
    const both = await issuer.sign({ roles: ['watchers', 'fleet-ops', 'unheard-of'], plant: 'default', email: 'a@b' });
    expect((await as(both)).body).toMatchObject({
      ...{ kind: 'oidc', id: 'alice', name: 'a@b', role: 'contributor', workspace: 'default' },
    });
    const all = await issuer.sign({ roles: 'fleet-admins', plant: '*' });
    expect((await as(all)).body).toMatchObject({ role: 'owner', workspace: null });
  });

  it('stands in the audit log by the name of the person', async () => {
    const token = await issuer.sign({ roles: ['fleet-admins'], plant: '*', preferred_username: 'alice@example' });
    await cloud.request('POST', '/v1/workspaces', { name: 'by-alice' }, { authorization: `Bearer ${token}` });
    const entries = await cloud.request('GET', '/v1/audit?actor=alice');
    expect(entries.body['items']).toMatchObject([{ actorKind: 'oidc', actorName: 'alice@example', outcome: 'done' }]);
  });

  it('is not let in without a mapped role or a workspace, whatever its claims inherit', async () => {
    for (const claims of [{ roles: [] }, { roles: ['constructor', 'toString'] }, { roles: { a: 1 } }, { roles: 7 }]) {
      const answer = await as(await issuer.sign({ ...claims, plant: '*' }));
      expect([answer.status, answer.body['code']], JSON.stringify(claims)).toEqual([403, 'auth.forbidden']);
    }
    for (const plant of [undefined, '', 'Not A Name', ['default'], null]) {
      expect((await as(await issuer.sign({ plant }))).body['code'], String(plant)).toBe('auth.forbidden');
    }
  });

  it('is refused when anything about it is wrong', async () => {
    const good = await issuer.sign({ plant: '*' });
    const [header = '', payload = '', signature = ''] = good.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
    const other = (await generateKeyPair('ES256')).privateKey;
    const hmac = (text: string): string =>
      createHmac('sha256', JSON.stringify(issuer.publicJwk)).update(text).digest('base64url');
    const hs256 = `${encode({ alg: 'HS256', kid: 'k1' })}.${payload}`;
    const wrong: Record<string, string> = {
      'another signature': `${header}.${payload}.${'A'.repeat(signature.length)}`,
      'another payload': `${header}.${encode({ ...claims, roles: ['fleet-admins'] })}.${signature}`,
      'a key of somebody else': await issuer.sign({ plant: '*' }, {}, other),
      'alg none': `${encode({ alg: 'none', kid: 'k1' })}.${payload}.`,
      'HS256 with the public key': `${hs256}.${hmac(hs256)}`,
      'another issuer': await issuer.sign({ iss: 'https://evil.example' }),
      'another audience': await issuer.sign({ aud: 'https://other.example' }),
      'no audience': await issuer.sign({ aud: undefined }),
      'an end in the past': await issuer.sign({ exp: seconds() - 60 }),
      'no end': await issuer.sign({ exp: undefined }),
      'a start in the future': await issuer.sign({ nbf: seconds() + 120 }),
      'nobody it is of': await issuer.sign({ sub: undefined }),
      'an unknown key id': await issuer.sign({}, { kid: 'k2' }),
      'a key that it brings along': await issuer.sign({}, { kid: 'k2', jwk: issuer.publicJwk }, other),
      'another kind': await issuer.sign({}, { typ: 'logout+jwt' }),
      'three parts of nothing': 'a.b.c',
    };
    for (const [what, token] of Object.entries(wrong)) {
      const { status, body } = await as(token);
      expect([status, body['code']], what).toEqual([401, 'auth.invalid']);
      expect(JSON.stringify(body), what).not.toContain(token.slice(0, 20));
    }
    expect((await as(good)).status).toBe(200);
  });

  it('is taken within the tolerance of clocks', async () => {
    expect((await as(await issuer.sign({ plant: '*', exp: seconds() - 10 }))).status).toBe(200);
    expect((await as(await issuer.sign({ plant: '*', nbf: seconds() + 10 }))).status).toBe(200);
  });

  it('makes the issuer be asked for its keys once, however many unknown key ids come', async () => {
    const before = issuer.keyReads;
    expect(before).toBeGreaterThan(0);
    await Promise.all(Array.from({ length: 20 }, async () => as(await issuer.sign({}, { kid: 'k9' }))));
    expect(issuer.keyReads - before).toBeLessThanOrEqual(1);
  });

  it('of an issuer that cannot be reached is 503, while API tokens go on to work', async () => {
    const gone = await OidcIssuer.start();
    await gone.stop();
    const other = await startRegistry(folder('gone'), settings(gone));
    try {
      const { status, body } = await as(await gone.sign({ plant: '*' }), other);
      expect([status, body['code']]).toEqual([503, 'auth.issuer-unreachable']);
      expect((await as(other.token, other)).status).toBe(200);
    } finally {
      await other.stop();
    }
  });

  it('is nothing special where no issuer is configured', async () => {
    const plain = await startRegistry(folder('plain'));
    try {
      expect((await as(await issuer.sign({ plant: '*' }), plain)).status).toBe(401);
      expect((await plain.request('GET', '/v1/login')).body).toEqual({ oidc: null });
    } finally {
      await plain.stop();
    }
  });
});

describe('flotilla login --oidc', () => {
  it('waits for the code to be confirmed, keeps the login for its owner alone, and renews it before it ends', async () => {
    const cli = await CliHarness.make();
    const everywhere = await startRegistry(folder('everywhere'), {
      ...settings(issuer),
      'oidc-workspace-claim': 'everywhere',
    });
    issuer.roles = ['fleet-ops'];
    const clock = {
      ...systemClock,
      skewMs: 0,
      now: (): number => Date.now() + clock.skewMs,
      sleep: () => systemClock.sleep(30),
    };
    const run = (...args: string[]): Promise<CliRun> => cli.run(args, { clock });
    try {
      let approved: Promise<void> | undefined;
      const onText = (text: string): void => {
        const code = /confirm the code (\S+)/.exec(text)?.[1];
        if (code !== undefined) approved ??= issuer.approve(code, 'alice');
      };
      const { exit, stderr } = await cli.run(['login', everywhere.url, '--oidc'], { clock, onText });
      await approved;
      // The issuer of this test names no workspace: the login is right, and opens nothing.
      expect([exit, stderr]).toEqual([3, expect.stringContaining('names none')]);
    } finally {
      await everywhere.stop();
    }
    const open = await startRegistry(folder('open'), withoutWorkspace(settings(issuer)));
    try {
      let approved: Promise<void> | undefined;
      const onText = (text: string): void => {
        const code = /confirm the code (\S+)/.exec(text)?.[1];
        if (code !== undefined) approved ??= issuer.approve(code, 'alice');
      };
      const { exit, stdout, stderr } = await cli.run(['login', open.url, '--oidc'], { clock, onText });
      await approved;
      expect([exit, stdout, stderr]).toEqual([
        0,
        expect.stringContaining('as alice@example (contributor)'),
        expect.stringContaining(issuer.issuer),
      ]);
      expect((await stat(`${cli.home}/context.json`)).mode & 0o777).toBe(0o600);
      const stored = async (): Promise<ContextFile['contexts'][string] | undefined> =>
        (JSON.parse(await readFile(`${cli.home}/context.json`, 'utf8')) as ContextFile).contexts['default'];
      const first = await stored();
      expect((await run('workspace', 'list')).exit).toBe(0);
      expect((await stored())?.token).toBe(first?.token);

      clock.skewMs = 270_000;
      await new Promise((resolve) => setTimeout(resolve, 1100));
      expect((await run('workspace', 'list')).exit).toBe(0);
      const second = await stored();
      expect(second?.token).not.toBe(first?.token);
      expect(second?.oidc?.refreshToken).not.toBe(first?.oidc?.refreshToken);
    } finally {
      await open.stop();
      await cli.remove();
    }
  });

  it('slows down when it is told to, and ends when the person says no', async () => {
    const answers = ['authorization_pending', 'slow_down', 'authorization_pending', 'access_denied'];
    const server = createServer((request, response) => {
      const { port } = server.address() as AddressInfo;
      const at = `http://127.0.0.1:${String(port)}`;
      response.setHeader('content-type', 'application/json');
      if (request.url === '/.well-known/openid-configuration') {
        response.end(
          JSON.stringify({ issuer: at, device_authorization_endpoint: `${at}/device`, token_endpoint: `${at}/token` }),
        );
      } else if (request.url === '/device') {
        const code = { device_code: 'd', user_code: 'U-1', verification_uri: `${at}/go`, expires_in: 600, interval: 2 };
        response.end(JSON.stringify(code));
      } else {
        response.statusCode = 400;
        response.end(JSON.stringify({ error: answers.shift() }));
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const at = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
    const slept: number[] = [];
    const clock = { ...systemClock, sleep: async (ms: number) => void slept.push(ms) };
    const login = loginByDevice(
      { issuer: at, clientId, audience, scopes: 'openid' },
      { clock, signal: new AbortController().signal },
      () => undefined,
    );
    await expect(login).rejects.toMatchObject({
      code: 'auth.invalid',
      message: expect.stringContaining('refused') as string,
    });
    expect(slept).toEqual([2000, 2000, 7000, 7000]);
    server.close();
  });
});

function withoutWorkspace({ 'oidc-workspace-claim': _, ...rest }: Record<string, string>): Record<string, string> {
  return rest;
}
