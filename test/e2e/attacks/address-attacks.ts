/**
 * Attacks by addresses: whoever can name one makes nobody ask there, and whoever stands at one that is asked, without
 * the certificate for it, is told nothing.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProgramFailed } from '#cloud/quickstart/program.js';
import { type EnrolmentToken, formatEnrolmentToken, parseEnrolmentToken } from '#shared/protocol/enrolment.js';
import { OidcIssuer } from '../../support/oidc-issuer.js';
import { repository } from '../../support/world.js';
import { Impostor } from './impostor.js';
import { type AttackSite, eventually } from './site.js';

export function addressAttacks(siteOf: () => AttackSite): void {
  describe('an address that somebody names', () => {
    const heard: string[] = [];
    let trap: Server;
    let trapUrl: string;
    beforeAll(async () => {
      trap = createServer((request, response) => {
        heard.push(`${request.method ?? ''} ${request.url ?? ''} ${JSON.stringify(request.headers)}`);
        response.writeHead(302, { location: `${trapUrl}/led-on` }).end();
      });
      await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve));
      trapUrl = `http://127.0.0.1:${String((trap.address() as AddressInfo).port)}`;
    });
    afterAll(() => new Promise((resolve) => trap.close(resolve)));

    it('stands in no request of the API and in no document that commands a device', async () => {
      const { text } = await siteOf().api('/openapi.json');
      const { paths } = JSON.parse(text) as { paths: Record<string, Record<string, { requestBody?: unknown }>> };
      const bodies = Object.values(paths).flatMap((path) => Object.values(path).map(({ requestBody }) => requestBody));
      expect(bodies.filter((body) => body !== undefined).length).toBeGreaterThan(5);
      expect(JSON.stringify(bodies, withoutNames)).not.toMatch(
        /"format":"ur[il]|"(url|uri|webhook|callback|endpoint)"/i,
      );
      for (const name of ['desired', 'command-request', 'image-manifest', 'module-manifest']) {
        const schema = await readFile(join(repository, `docs/protocol/schemas/${name}.schema.json`), 'utf8');
        expect(schema, name).not.toMatch(/"format": "ur[il]|"(url|uri|webhook|callback|endpoint)":/i);
      }
    });

    it.each<[string, (url: string) => Promise<string>, RegExp]>([
      [
        'to install libraries from, without TLS',
        (url) =>
          siteOf().world.agentCommand(
            ...(['cam-1', 'providers', 'install', 'cuda', '--from', `${url}/x.tgz`] as const),
            ...['--sha256', '0'.repeat(64)],
          ),
        /https/,
      ],
      [
        'to enrol at, without TLS',
        (url) =>
          siteOf().world.agentCommand(
            'cam-7',
            'enroll',
            '--token',
            'flotilla-enrol-1.x',
            '--name',
            'cam-7',
            '--url',
            url,
          ),
        /./,
      ],
    ])('%s is asked nothing', async (_what, act, said) => {
      const before = heard.length;
      const failed = await act(trapUrl).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failed).toBeInstanceOf(ProgramFailed);
      expect((failed as ProgramFailed).output).toMatch(said);
      expect(heard.slice(before)).toEqual([]);
    });

    it('to log in at gets no further than its first answer: nothing follows where it leads', async () => {
      const before = heard.length;
      await expect(siteOf().world.flotilla('login', trapUrl, '--token', 'flt_of-nobody')).rejects.toThrow();
      expect(heard.slice(before).filter((line) => line.includes('/led-on'))).toEqual([]);
    });
  });

  describe('an issuer that a token names', () => {
    let hostile: OidcIssuer;
    const issuerOf = (): string => siteOf().oidc?.issuer ?? '';
    beforeAll(async () => {
      hostile = await OidcIssuer.start();
    });
    afterAll(() => hostile.stop());

    it.each<[string, () => Promise<string>]>([
      ['as who made it', () => hostile.sign({})],
      ['as who made it, beside the rightful one', () => hostile.sign({ iss: [issuerOf(), hostile.issuer] })],
      ['by where its keys are', () => hostile.sign({ iss: issuerOf() }, { jku: `${hostile.issuer}/jwks` })],
      ['by where its certificate is', () => hostile.sign({ iss: issuerOf() }, { x5u: `${hostile.issuer}/jwks` })],
      ['by a key id that is its address', () => hostile.sign({ iss: issuerOf() }, { kid: `${hostile.issuer}/jwks` })],
    ])('%s is never asked, and the one of the configuration is', async (_what, sign) => {
      const { oidc } = siteOf();
      const as = async (token: string): Promise<number> => (await siteOf().api('/v1/self', {}, token)).status;
      expect(await as(await sign())).toBe(401);
      expect(hostile.asked).toEqual([]);
      expect(await as((await oidc?.sign({})) ?? '')).toBe(200);
      expect(oidc?.asked).toContain('/jwks');
    });
  });

  describe('an enrolment token that leads elsewhere', () => {
    let impostor: Impostor;
    beforeAll(async () => {
      impostor = await Impostor.open(0);
    });
    afterAll(() => impostor.close());

    it('tells its secret to nobody but the server that it pins, and works there afterwards', async () => {
      const { world } = siteOf();
      const { token } = (await world.flotillaJson('device', 'token')) as { token: string };
      const parsed = parseEnrolmentToken(token);
      if (!parsed.ok) throw new Error(parsed.error);
      const url = `https://127.0.0.1:${String(impostor.port)}`;
      const enrol = (changed: Partial<EnrolmentToken>, ...more: readonly string[]): Promise<string> =>
        world.agentCommand(
          ...(['cam-8', 'enroll', '--name', 'cam-8'] as const),
          ...['--token', formatEnrolmentToken({ ...parsed.value, ...changed }), ...more],
        );
      await expect(enrol({ url })).rejects.toThrow(/nothing was sent \[enrolment\.pin-mismatch\]/);
      await expect(enrol({}, '--url', url)).rejects.toThrow(/enrolment\.pin-mismatch/);
      await eventually('both visits have ended', () => impostor.visits === 2);
      expect(impostor.heard).toBe('');
      // The rightful server under a pin that is not its own hears nothing either: the token has not been used.
      await expect(enrol({ authority: '0'.repeat(64) })).rejects.toThrow(/enrolment\.pin-mismatch/);
      await enrol({});
      expect((await siteOf().api('/v1/workspaces/default/devices/cam-8')).status).toBe(200);
    });
  });
}

/** Endpoints of ours are named, not addressed: what takes such a name takes no address. */
function withoutNames(key: string, value: unknown): unknown {
  if (key !== 'endpoint' || typeof value !== 'object' || value === null || !('pattern' in value)) return value;
  const pattern = new RegExp(String(value.pattern));
  const addresses = ['http://lan', '//lan', 'lan:80', 'lan.example', '127.0.0.1', '[::1]', 'lan/led-on'];
  return addresses.some((address) => pattern.test(address)) ? value : undefined;
}
