/** User code of replicas in its bounds, attacked from within; in a folder whose path is too long for sockets. */
import { copyFile, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import { generateSigningKey } from '#shared/package/signing-key.js';
import { createLogger } from '#shared/platform/logger.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import { sandboxAspects } from '#shared/protocol/sandbox.js';
import { controlSocketOf, type HostConfig, hostConfigSchema } from '#cloud/services/host/host-config.js';
import { type OpenHost, openHost } from '#cloud/services/host/open-host.js';
import { ServiceHostClient } from '#cloud/services/host/service-host-client.js';
import type { DeploymentStatus } from '#cloud/services/services-status.js';
import { digitsFolder } from '#test/support/scoring-harness.js';
import { QuietFront } from '#test/support/services/quiet-front.js';
import { ask, deploymentOf, ready, servicesOf, signedImage, until } from '#test/support/services/service-world.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();
const publisher = generateSigningKey();
const isRoot = process.getuid?.() === 0;

/** Does what it is asked to, and says what came of it. */
const rogue = `
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
const acts = {
  read: (path) => readFile(path, 'utf8').then(() => true),
  write: (path) => writeFile(path, 'x').then(() => true),
  connect: (to) => new Promise((resolve, reject) => connect(to).once('connect', () => resolve(true)).once('error', reject)),
};
export const init = () => undefined;
export const run = ({ act, at }) => acts[act](at).then((done) => ({ done }), (error) => ({ refused: error.code }));
`;

describe.runIf(isRoot && process.platform === 'linux')('user code of a replica', () => {
  let folder: string;
  let config: HostConfig;
  const front = new QuietFront();
  let host: OpenHost;
  let client: ServiceHostClient;
  let digits: ImageReference;
  let bounded: ImageReference;

  const statusOf = (name: string) => async (): Promise<DeploymentStatus | undefined> =>
    (await client.status()).endpoints[0]?.deployments.find((one) => one.name === name);
  const addressOf = (name: string) =>
    front.table.endpoints[0]?.deployments.find((one) => one.name === name)?.replicas[0];
  const attempt = async (act: 'read' | 'write' | 'connect', at: unknown): Promise<unknown> => {
    const address = addressOf('rogue')?.address ?? { socketPath: '' };
    return JSON.parse((await ask(address, '/score', JSON.stringify({ act, at }))).text);
  };
  const rogueImage = async (name: string, manifest: string): Promise<ImageReference> => {
    await mkdir(path(name));
    await copyFile(join(digitsFolder, 'model.onnx'), path(name, 'model.onnx'));
    const common = 'flavor: node\nentry: score.mjs\nmodels: [{ name: digits, file: model.onnx }]\n';
    await writeFile(path(name, 'module.yaml'), `schema: 1\nname: ${name}\n${common}${manifest}`);
    await writeFile(path(name, 'score.mjs'), rogue);
    return signedImage(path('blobs'), path(name), publisher);
  };

  beforeAll(async () => {
    folder = path('the-folder-of-a-service-host-with-a-name-that-no-socket-could-lie-below-it');
    config = hostConfigSchema.parse({ folder, blobs: path('blobs'), drainMs: 2000 });
    digits = await signedImage(path('blobs'), digitsFolder, publisher);
    bounded = await rogueImage('rogue', 'requires: { sandbox: [user, mounts, network, memory] }\n');
    host = await openHost(config, {
      ...{ clock: systemClock, random: Math.random, version: '1.2.3', front, onStop: () => undefined },
      logger: createLogger('test', { level: 'silent', pretty: false }),
      listen: () => Promise.resolve('http://127.0.0.1:1'),
    });
    client = new ServiceHostClient(() => controlSocketOf(config));
    await client.trust({
      schema: 1,
      workspaces: [{ workspace: 'default', pins: [publisher.publicKey], envelopes: [] }],
    });
    const deployments = [deploymentOf(digits), deploymentOf(bounded, { name: 'rogue' })];
    await client.apply(servicesOf(1, ...deployments));
    await until(statusOf('blue'), ready);
    await until(statusOf('rogue'), ready);
  });
  afterAll(() => host.stop());

  it('runs where the service host says what it enforces: all of it', async () => {
    const { sandbox } = await client.status();
    expect(sandboxAspects.filter((aspect) => sandbox?.[aspect].enforced !== true)).toEqual([]);
  });

  it.each(['desired.json', 'trust.json', '../blobs/index.json'])('cannot read %s beside it', async (name) => {
    expect((await stat(join(folder, name))).isFile()).toBe(true);
    expect(await attempt('read', join(folder, name))).toEqual({ refused: 'ENOENT' });
  });

  it('reaches neither the control socket, nor the socket of another replica, nor the network', async () => {
    const sockets = [controlSocketOf(config), addressOf('blue')?.address];
    for (const socket of sockets.map((one) =>
      typeof one === 'string' ? one : one && 'socketPath' in one && one.socketPath,
    )) {
      expect((await stat(String(socket))).isSocket()).toBe(true);
      expect(await attempt('connect', String(socket))).toEqual({ refused: 'ENOENT' });
    }
    expect(await attempt('connect', { host: '127.0.0.1', port: 9 })).toEqual({ refused: 'ENETUNREACH' });
  });

  it('writes nothing in its own module', async () => {
    const own = join(folder, 'images/modules', bounded.digest.slice('sha256:'.length), 'module.yaml');
    expect(await attempt('read', own)).toEqual({ done: true });
    expect(await attempt('write', own)).toMatchObject({ refused: 'EROFS' });
  });

  it('is refused for good where it asks for what is not granted', async () => {
    const online = await rogueImage('online', 'permissions: { network: true }\n');
    await client.apply(servicesOf(2, deploymentOf(online)));
    const { problem } = await until(statusOf('blue'), ({ state }) => state === 'failed');
    expect(problem).toMatchObject({ code: 'permission.refused' });
  });
});
