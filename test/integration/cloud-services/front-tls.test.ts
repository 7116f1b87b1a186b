/** What befalls a front while clients keep asking it over TLS: none of them may notice, but whose replica dies. */
import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FrontReplica } from '#cloud/services/front/front-table.js';
import { deployment, echo, FrontWorld, frontKey } from '#test/support/front-world.js';
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

/** Its connections end in the middle of what they carry, and nobody takes new ones. */
function kill(server: Server): void {
  server.close();
  server.closeAllConnections();
}
