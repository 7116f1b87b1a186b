/** What befalls a front while clients keep asking it over TLS: none of them may notice, but whose replica dies. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FrontReplica } from '#cloud/services/front/front-table.js';
import { deployment, echo, FrontWorld, frontKey } from '#test/support/front-world.js';
import { HeldReplica } from '#test/support/held-replica.js';
import { RenewedCertificate } from '#test/support/services/renewed-certificate.js';
import { type Asked, WatchedLoad } from '#test/support/services/watched-load.js';

describe('clients that ask over TLS without pause', () => {
  const clients = 4;
  let folder: string;
  let certificate: RenewedCertificate;
  let world: FrontWorld;
  let load: WatchedLoad;
  let asked: Asked[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'flotilla-front-tls-'));
    certificate = await RenewedCertificate.in(folder);
    world = await FrontWorld.open({}, await certificate.renew());
    world.apply([deployment('blue', [await world.replica(echo('1')), await world.replica(echo('2'))])]);
    const headers = { authorization: `Bearer ${frontKey}` };
    const target = { url: world.url('/score'), headers, body: Buffer.from('{}'), authority: certificate.authority };
    load = new WatchedLoad(target, clients, (each) => asked.push(each));
  });
  afterAll(async () => {
    await load.stop();
    await world.end();
    await rm(folder, { recursive: true });
  });
  beforeEach(() => {
    asked = [];
  });

  const failures = (): (string | undefined)[] =>
    asked.map(({ failure }) => failure).filter((failure) => failure !== undefined);
  const more = async (): Promise<void> => {
    const before = asked.length;
    await expect.poll(() => asked.length).toBeGreaterThan(before + 10 * clients);
  };

  it('keep their connections while the certificate is renewed, and who comes new is shown the new one', async () => {
    await more();
    world.front.setTls(await certificate.renew());
    expect(await certificate.isShown(world.address.port)).toBe(true);
    await more();
    expect(failures()).toEqual([]);
  });

  it('lose nothing when a deployment is replaced and traffic moves', async () => {
    const green = await world.replica(echo('green'));
    const [old, fresh] = [await world.replica(echo('old')), await world.replica(echo('fresh'))];
    world.apply([deployment('blue', [old])]);
    await more();
    world.apply([deployment('blue', [{ ...old, state: 'draining' }, fresh])]);
    await more();
    world.apply([deployment('blue', [fresh]), deployment('green', [green])], { traffic: { green: 100 } });
    await more();
    expect(failures()).toEqual([]);
  });

  it('lose with a killed replica what that worked on, with a status, and nothing else', async () => {
    const sound = await world.replica(echo('sound'));
    const doomed = createServer(echo('doomed'));
    const socketPath = world.socketPath();
    await world.serve(doomed, socketPath);
    const listed: FrontReplica = { id: 'doomed', address: { socketPath }, state: 'ready' };
    world.apply([deployment('blue', [sound, listed])], { traffic: { blue: 100 } });
    await more();
    kill(doomed);
    await more();
    expect(failures().length).toBeLessThanOrEqual(clients);
    expect(failures().filter((failure) => failure !== 'status 424')).toEqual([]);
  });
});

describe('a front with a certificate', () => {
  let folder: string;
  let world: FrontWorld;
  let authority: string;
  const held = new HeldReplica();
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'flotilla-front-tls-'));
    const certificate = await RenewedCertificate.in(folder);
    ({ authority } = certificate);
    world = await FrontWorld.open({}, await certificate.renew());
  });
  afterAll(async () => {
    await world.end();
    await rm(folder, { recursive: true });
  });

  const ask = (headers: Record<string, string>, ...pieces: string[]): Promise<string> =>
    new Promise((resolve, reject) => {
      const all = { authorization: `Bearer ${frontKey}`, ...headers };
      const options = { method: 'POST', headers: all, ca: authority, servername: 'localhost' };
      const sent = request(world.url('/score'), options, (answer) => {
        void text(answer).then((body) => resolve(`${String(answer.statusCode)} ${body}`), reject);
      });
      sent.once('error', reject);
      for (const piece of pieces) sent.write(piece);
      sent.end();
    });

  it('takes what is plain and what is not', async () => {
    world.apply([deployment('blue', [await world.replica(echo('1'))])]);
    expect(await ask({ 'content-length': '4' }, 'plai', '')).toBe('200 plai');
    expect(await ask({ 'transfer-encoding': 'chunked' }, 'in ', 'chunks')).toBe('200 in chunks');
    expect(await ask({ 'content-length': '4', 'x-own': 'ä' }, 'rest')).toMatch(/^200 rest$/);
  });

  it('breaks off what is not answered in the time that it has to close', async () => {
    world.apply([deployment('blue', [await world.replica(held.listener)])]);
    const asked = ask({ 'content-length': '0' });
    asked.catch(() => undefined);
    await held.holds(1);
    await world.front.close(1);
    await expect(asked).rejects.toThrow();
  });
});

/** Its connections end in the middle of what they carry, and nobody takes new ones. */
function kill(server: Server): void {
  server.close();
  server.closeAllConnections();
}
