/** A web service of built programs under load, while parts of it are killed. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Asked, WatchedLoad } from '#test/support/services/watched-load.js';
import { endpoint, WebService } from '#test/support/services/web-service.js';
import { ownPort } from '#test/support/own-port.js';
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

  it('collects a sample of what it and a device are asked, without what is left out, and survives a kill with each line once', async () => {
    const { world } = service;
    await world.enrol('cam-1');
    const port = await ownPort();
    await world.startAgent('cam-1', port);
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-1');
    await world.flotilla('data', 'collect', 'digits', '--device', 'cam-1', '--rate', '1', '--redact', 'image');
    const update = ['deployment', 'update', 'blue', '--endpoint', endpoint];
    await world.flotilla(...update, '--collect', '0.05', '--redact', 'image', '--collection', 'model_inputs');
    const asking = setInterval(() => {
      const { body, headers } = service;
      void fetch(`http://127.0.0.1:${String(port)}/score`, { method: 'POST', body, headers }).catch(() => undefined);
    }, 50);
    try {
      await collectedOf(service, 'digits/cam-1/');
      await service.restartCloud();
      await collectedOf(service, `${endpoint}/blue/`);
    } finally {
      clearInterval(asking);
    }
    for (const [source, prefix] of [
      ['onlineEndpoints/numbers/deployments/blue', `${endpoint}/blue/`],
      ['devices/cam-1/modules/digits', 'digits/cam-1/'],
    ] as const) {
      const lines = await collectedOf(service, prefix);
      expect(new Set(lines.map(({ id }) => id)).size).toBe(lines.length);
      for (const line of lines) expect(line.source).toBe(`/workspaces/default/${source}`);
      const inputs = lines.filter(({ type }) => type.endsWith('inputs'));
      expect(new Set(inputs.map(({ data }) => JSON.stringify(data)))).toEqual(
        new Set(['[{"name":"image","datatype":"FP32","shape":[1,1,8,8],"data":"[redacted]"}]']),
      );
    }
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

interface Collected {
  readonly id: string;
  readonly type: string;
  readonly source: string;
  readonly data: unknown;
}

/** Every line below the folder of collected data, once there are inputs: each collection comes on its own. */
async function collectedOf({ world }: WebService, prefix: string): Promise<Collected[]> {
  const to = join(world.folder, 'collected');
  const below = `modelDataCollector/${prefix}`;
  const list = async () => (await world.flotillaJson('data', 'list', `${below}model_inputs/`)) as unknown[];
  await expect.poll(async () => (await list()).length, { timeout: 40_000, interval: 500 }).toBeGreaterThan(0);
  const files = (await world.flotillaJson('data', 'download', below, '--to', to)) as { file: string }[];
  const texts = await Promise.all(files.map(({ file }) => readFile(file, 'utf8')));
  return texts.flatMap((text) =>
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Collected),
  );
}
