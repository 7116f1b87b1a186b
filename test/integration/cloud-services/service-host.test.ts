import { copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import { generateSigningKey } from '#shared/package/signing-key.js';
import { hexOf } from '#shared/package/digest.js';
import { createLogger } from '#shared/platform/logger.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import type { DesiredServices } from '#cloud/services/desired-services.js';
import { controlSocketOf, hostConfigSchema } from '#cloud/services/host/host-config.js';
import { type OpenHost, openHost } from '#cloud/services/host/open-host.js';
import { ServiceHostClient } from '#cloud/services/host/service-host-client.js';
import type { ToldBatch } from '#cloud/services/services-telemetry.js';
import type { DeploymentStatus } from '#cloud/services/services-status.js';
import { digitsFolder } from '#test/support/scoring-harness.js';
import { QuietFront } from '#test/support/services/quiet-front.js';
import {
  ask,
  deploymentOf,
  folders,
  ready,
  servicesOf,
  signedImage,
  until,
} from '#test/support/services/service-world.js';
import { sketchOf } from '#test/support/telemetry-batches.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();
const publisher = generateSigningKey();
const stranger = generateSigningKey();

describe('a service host', () => {
  let image: ImageReference;
  let host: OpenHost;
  let front: QuietFront;
  let client: ServiceHostClient;
  let digit: string;
  let told: readonly ToldBatch[] = [];

  const openWith = (quiet: QuietFront): Promise<OpenHost> =>
    openHost(hostConfigSchema.parse({ ...folders(path()), drainMs: 2000 }), {
      ...{ clock: systemClock, random: Math.random, version: '1.2.3', front: quiet, onStop: () => undefined },
      logger: createLogger('test', { level: 'silent', pretty: false }),
      listen: () => Promise.resolve('http://127.0.0.1:1'),
    });
  const open = async (): Promise<void> => {
    front = new QuietFront();
    host = await openWith(front);
    client = new ServiceHostClient(() => controlSocketOf(folders(path())));
  };
  const blue = async (): Promise<DeploymentStatus | undefined> =>
    (await client.status()).endpoints[0]?.deployments.find(({ name }) => name === 'blue');
  const score = async (index = 0): ReturnType<typeof ask> => {
    const replica = front.ready()[index];
    if (replica === undefined) throw new Error('no replica answers');
    return ask(replica.address, '/score', digit);
  };

  beforeAll(async () => {
    image = await signedImage(path('blobs'), digitsFolder, publisher);
    digit = await readFile(join(digitsFolder, 'fixtures/digit.json'), 'utf8');
    await open();
  });
  afterAll(async () => {
    await host.stop();
  });

  it('starts nothing of a publisher nobody trusts, says why, and starts it once who trusts says so', async () => {
    await client.apply(servicesOf(1, deploymentOf(image)));
    const unknown = await until(blue, ({ state }) => state === 'failed');
    expect(unknown.problem).toMatchObject({ code: 'trust.not-found' });
    await client.trust({
      schema: 1,
      workspaces: [{ workspace: 'default', pins: [publisher.publicKey], envelopes: [] }],
    });
    const status = await until(blue, ready);
    expect(status).toMatchObject({ revision: 1, wantedReplicas: 1, replicas: [{ revision: 1, restarts: 0 }] });
    expect(status.replicas[0]?.residentBytes).toBeGreaterThan(1_000_000);
    const answer = await score();
    expect(answer).toMatchObject({ status: 200, headers: { 'flotilla-deployment': 'blue' } });
    const told = (await client.logs('e-1', 'blue', 100)).join('\n');
    expect(told).toMatch(
      /process \d+ starts with digits:1\n.*is loaded, and runs on cpu\n(.*\n)*.*golden vectors\n.*takes requests/,
    );
    expect((await stat(controlSocketOf(folders(path())))).mode & 0o777).toBe(0o600);
    expect((await stat(folders(path()).folder)).mode & 0o777).toBe(0o700);
  });

  it('tells what callers got with what replicas counted inside, and the same until it is stored', async () => {
    await score();
    const of = { workspace: 'default', endpoint: 'numbers', deployment: 'blue', image };
    front.counted.push({ ...of, requests: 3, errors: { 'score.failed': 1 }, latencyMs: sketchOf(4, 6) });
    told = await client.telemetry([]);
    const { digest } = image;
    expect(told).toMatchObject([
      { workspace: 'default', source: 'numbers/blue', batch: { sequence: 1, generation: 1 } },
    ]);
    expect(told[0]?.batch.modules).toMatchObject({
      digits: { digest, provider: 'cpu', requests: 3, latencyMs: { count: 2 }, stages: { computeMs: { count: 2 } } },
    });
    await score();
    expect(await client.telemetry([])).toEqual(told);
  });

  it('replaces a replica that is killed, and the other goes on', async () => {
    await client.apply(servicesOf(2, deploymentOf(image, { replicas: 2 })));
    const before = await until(blue, (status) => ready(status) && status.replicas.length === 2);
    const [first] = before.replicas;
    process.kill(Number(first?.process?.split(' ')[1]), 'SIGKILL');
    await until(blue, ({ replicas }) => replicas[0]?.state === 'down');
    expect((await score()).status).toBe(200);
    const after = await until(blue, ready);
    expect(after.replicas.map(({ id, restarts }) => [id, restarts])).toEqual([
      [first?.id, 1],
      [before.replicas[1]?.id, 0],
    ]);
    const lines = await client.logs('e-1', 'blue', 100);
    expect(lines.join('\n')).toMatch(/ended: .*SIGKILL/);
  });

  it('refuses a revision that a stranger signed, while the one before goes on', async () => {
    const other = await signedImage(path('blobs'), digitsFolder, stranger, 2);
    await client.apply(servicesOf(3, deploymentOf(other, { revision: 2 })));
    const status = await until(blue, ({ state }) => state === 'failed');
    expect(status.problem).toMatchObject({ code: 'signature.unknown-key' });
    expect(status.replicas.filter(({ state }) => state === 'ready').map(({ revision }) => revision)).toEqual([1]);
    expect((await score()).status).toBe(200);
  });

  it('goes on after a restart by what is on disk, damaged as it is, with the revision that worked', async () => {
    await host.stop();
    const { folder } = folders(path());
    const kept = await readFile(join(folder, 'desired.json'));
    // The one before is gone back to; it says two replicas.
    await writeFile(join(folder, 'desired.json'), kept.subarray(0, 40));
    await open();
    const [kept1, kept2] = await client.telemetry([]);
    // Unasked so far: what was told before, then what a replica counted up to its end.
    expect(kept1).toEqual(told[0]);
    expect(kept2?.batch).toMatchObject({ bootId: told[0]?.batch.bootId, sequence: 2 });
    expect(kept2?.batch.modules).toMatchObject({ digits: { requests: 0, stages: { computeMs: { count: 3 } } } });
    const stored = { workspace: 'default', source: 'numbers/blue', bootId: kept1?.batch.bootId ?? 0, upTo: 2 };
    expect(await client.telemetry([stored])).toEqual([]);
    const status = await until(blue, (one) => ready(one) && one.replicas.length === 2);
    expect(status.revision).toBe(1);
    await expect(client.apply(servicesOf(1, deploymentOf(image)))).rejects.toMatchObject({
      code: 'desired.older-generation',
    });
    await client.apply(servicesOf(3, deploymentOf(image, { revision: 3, settings: { a: 1 } })));
    expect(await until(blue, (one) => ready(one) && one.revision === 3)).toMatchObject({ replicas: [{ revision: 3 }] });
  });

  it('lets no second one work in its folder', async () => {
    await expect(openWith(new QuietFront())).rejects.toMatchObject({ code: 'already.running' });
  });

  it('runs user code in a process of its own, with which the replica ends and begins anew', async () => {
    await mkdir(path('script'));
    await copyFile(join(digitsFolder, 'model.onnx'), path('script', 'model.onnx'));
    await writeFile(
      path('script', 'module.yaml'),
      'schema: 1\nname: greeter\nflavor: node\nentry: score.mjs\nmodels: [{ name: digits, file: model.onnx }]\n',
    );
    await writeFile(
      path('script', 'score.mjs'),
      `let word; export const init = (settings) => { word = settings.word; };
       export const run = ({ end }) => { if (end) process.exit(3); return { word, pid: process.pid }; };`,
    );
    const greeter = await signedImage(path('blobs'), path('script'), publisher);
    await client.apply(servicesOf(4, deploymentOf(greeter, { revision: 4, settings: { word: 'hello' } })));
    await until(blue, (one) => ready(one) && one.revision === 4);
    const asked = (body: object): ReturnType<typeof ask> =>
      ask(front.ready()[0]?.address ?? { socketPath: '' }, '/score', JSON.stringify(body));
    expect(JSON.parse((await asked({})).text)).toMatchObject({ word: 'hello' });
    await asked({ end: true }).catch(() => undefined);
    const after = await until(blue, (one) => ready(one) && one.replicas[0]?.restarts === 1);
    expect(after.replicas).toHaveLength(1);
    expect(JSON.parse((await asked({})).text)).toMatchObject({ word: 'hello' });
    expect((await client.logs('e-1', 'blue', 100)).join('\n')).toMatch(/its script ended: exit code 3/);
  });

  it('scales to zero when nobody asks, and wakes for the first who waits', async () => {
    const scale = { kind: 'auto', min: 0, max: 2, coolDownSeconds: 1 };
    await client.apply(servicesOf(5, deploymentOf(image, { revision: 5, scale })));
    await until(blue, ({ state, replicas }) => state === 'idle' && replicas.length === 0);
    expect(front.table.endpoints[0]?.deployments[0]).toMatchObject({ firstRequestWaitMs: 30_000, replicas: [] });
    front.outstanding = 1;
    front.need('e-1', 'blue');
    await until(blue, (one) => ready(one) && one.replicas.length === 1);
    front.outstanding = 0;
  });

  it('ends everything that is not desired, and removes the images of nobody', async () => {
    const modules = join(folders(path()).folder, 'images', 'modules');
    await expect.poll(() => readdir(modules), { timeout: 20_000 }).toEqual([hexOf(image.digest)]);
    await client.apply(servicesOf(6));
    expect(front.table.endpoints[0]?.deployments).toEqual([]);
    await expect.poll(() => readdir(modules), { timeout: 20_000 }).toEqual([]);
    expect(await readdir(join(folders(path()).folder, 'run'))).toEqual([]);
  });

  it('takes the same document twice, and no other one of its generation, nor what is none', async () => {
    await client.apply({ ...servicesOf(6), issuedAt: '2026-11-27T00:00:00.000Z' });
    await expect(client.apply(servicesOf(6, deploymentOf(image)))).rejects.toMatchObject({
      code: 'desired.same-generation',
    });
    await expect(client.apply({ schema: 1 } as unknown as DesiredServices)).rejects.toMatchObject({
      code: 'request.invalid',
    });
  });
});
