/** A web service of built programs under load, while parts of it are killed. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Asked, WatchedLoad } from '#test/support/services/watched-load.js';
import { endpoint, WebService } from '#test/support/services/web-service.js';
import type { TelemetryBody } from '#cloud/http/schemas/telemetry.js';
import { repository } from '#test/support/repository.js';

describe('a web service under load', () => {
  const clients = 4;
  let service: WebService;
  let load: WatchedLoad;
  let asked: Asked[] = [];
  const all = { requests: 0, failures: 0 };

  beforeAll(async () => {
    service = await WebService.open(['blue'], true);
    load = new WatchedLoad(service, clients, (each) => {
      asked.push(each);
      all.requests += 1;
      if (each.failure !== undefined) all.failures += 1;
    });
  });
  afterAll(async () => {
    await load.stop();
    await service.close();
  });

  const failures = (): (string | undefined)[] =>
    asked.map(({ failure }) => failure).filter((failure) => failure !== undefined);
  const fresh = async (): Promise<void> => {
    asked = [];
    await expect.poll(() => asked.length, { timeout: 20_000 }).toBeGreaterThan(20 * clients);
  };

  it('answers whoever has its key, and says which version did', async () => {
    const digit = join(repository, 'modules/digits/fixtures/digit.json');
    const answer = await service.world.flotillaJson('endpoint', 'invoke', endpoint, '--input', digit);
    expect(answer).toHaveProperty('outputs');
    await fresh();
    expect(new Set(asked.map(({ by }) => by))).toEqual(new Set(['blue 1']));
    const bare = await fetch(service.url, { method: 'POST', body: service.body });
    expect(bare.status).toBe(401);
  });

  it('loses with a killed replica no more than what that worked on, and has another soon', async () => {
    await fresh();
    const killed = await service.killReplica('blue');
    await service.whole('blue', killed);
    // At most one request of each client was in it.
    expect(failures().length).toBeLessThanOrEqual(clients);
    expect(failures().filter((failure) => failure !== 'status 424')).toEqual([]);
    await fresh();
    expect(failures()).toEqual([]);
  });

  it('loses nothing while the control plane is killed and started again, and keeps its replicas', async () => {
    const before = await service.replicas('blue');
    asked = [];
    await service.restartCloud();
    await expect.poll(() => service.replicas('blue')).toEqual(before);
    expect(asked.length).toBeGreaterThan(clients);
    expect(failures()).toEqual([]);
  });

  it('tells the telemetry store of each request once, whatever was killed meanwhile', async () => {
    await load.stop();
    const told = async (): Promise<unknown> => {
      const body = await service.world.flotillaJson('telemetry', `${endpoint}/blue`, '--since', '1h');
      const [module] = (body as TelemetryBody).modules;
      const { 'endpoint.replica-failed': failures = 0 } = module?.errors ?? {};
      return { requests: module?.requests, failures };
    };
    // And the one that was asked by hand.
    await expect.poll(told, { timeout: 30_000, interval: 1000 }).toEqual({ ...all, requests: all.requests + 1 });
  });
});
