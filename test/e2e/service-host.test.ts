/** The service host as a program: started, adopted, killed, updated under load, replaced, ended. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import { generateSigningKey } from '#shared/package/signing-key.js';
import { createLogger } from '#shared/platform/logger.js';
import { readVersion } from '#cloud/cli/version.js';
import { type HostConfig, hostConfigSchema } from '#cloud/services/host/host-config.js';
import type { ServiceHostClient } from '#cloud/services/host/service-host-client.js';
import { ServiceHostProcess } from '#cloud/services/host/service-host-process.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import type { DeploymentStatus } from '#cloud/services/services-status.js';
import { freePort } from '#cloud/quickstart/free-port.js';
import { digitsFolder, repository } from '#test/support/scoring-harness.js';
import {
  ask,
  deploymentOf,
  folders,
  ready,
  servicesOf,
  signedImage,
  until,
} from '#test/support/services/service-world.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();
const publisher = generateSigningKey();

describe('the program of the service host', () => {
  let config: HostConfig;
  let image: ImageReference;
  let digit: string;
  let client: ServiceHostClient;
  let version: string;

  const controlPlane = (version: string, drainMs = 3000): ServiceHostProcess =>
    new ServiceHostProcess({
      ...{ config: { ...config, drainMs }, version, clock: systemClock },
      logger: createLogger('test', { level: 'silent', pretty: false }),
      program: join(repository, 'dist/cloud/services/host/main.js'),
    });
  const blue = async (): Promise<DeploymentStatus | undefined> => (await client.status()).endpoints[0]?.deployments[0];
  const score = async (): Promise<number> => {
    const where = { host: '127.0.0.1', port: config.front.port };
    return (await ask(where, '/endpoints/default/numbers/score', digit)).status;
  };
  const pids = ({ replicas }: DeploymentStatus): number[] =>
    replicas.map(({ process: name }) => Number(name?.split(' ')[1]));

  beforeAll(async () => {
    image = await signedImage(path('blobs'), digitsFolder, publisher);
    digit = await readFile(join(digitsFolder, 'fixtures/digit.json'), 'utf8');
    const front = { host: '127.0.0.1', port: (await freePort(0)).port };
    config = hostConfigSchema.parse({ ...folders(path()), front });
    version = await readVersion();
  });
  afterAll(async () => {
    await controlPlane(version).stop();
  });

  it('is started by the first who needs it, answers through its front, and is taken as it is by the next', async () => {
    expect(await controlPlane(version).running()).toBeUndefined();
    client = await controlPlane(version).ensure();
    await client.trust({
      schema: 1,
      workspaces: [{ workspace: 'default', pins: [publisher.publicKey], envelopes: [] }],
    });
    await client.apply(servicesOf(1, deploymentOf(image, { replicas: 2 })));
    await until(blue, ready);
    expect(await score()).toBe(200);
    const { pid } = await client.about();
    client = await controlPlane(version).ensure();
    expect((await client.about()).pid).toBe(pid);
  });

  it('fails no request while a revision is replaced', async () => {
    let running = true;
    const answers: number[] = [];
    const asking = (async () => {
      while (running) answers.push(await score());
    })();
    await client.apply(servicesOf(2, deploymentOf(image, { revision: 2, replicas: 2 })));
    await until(blue, (status) => ready(status) && status.replicas.every(({ revision }) => revision === 2));
    running = false;
    await asking;
    expect(answers.length).toBeGreaterThan(0);
    expect(answers.filter((status) => status !== 200)).toEqual([]);
  });

  it('leaves no replica behind when it is killed, and goes on by what it had', async () => {
    const before = await until(blue, ready);
    process.kill((await client.about()).pid, 'SIGKILL');
    await expect.poll(() => pids(before).filter(isAlive), { timeout: 20_000 }).toEqual([]);
    await expect(client.status()).rejects.toMatchObject({ code: 'service.unavailable' });
    client = await controlPlane(version).ensure();
    expect(await until(blue, (status) => ready(status) && status.replicas.length === 2)).toMatchObject({ revision: 2 });
    expect(await score()).toBe(200);
  });

  it('is replaced by one with other settings, and ends with all its replicas when it is told to', async () => {
    const { pid } = await client.about();
    const other = controlPlane(version, 2000);
    client = await other.ensure();
    expect((await client.about()).pid).not.toBe(pid);
    expect(isAlive(pid)).toBe(false);
    const last = await until(blue, ready);
    await other.stop();
    expect(pids(last).filter(isAlive)).toEqual([]);
    expect(await other.running()).toBeUndefined();
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
