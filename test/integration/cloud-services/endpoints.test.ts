/** Endpoints as their owner works with them: by commands, over a real API and database; the service host only remembers. */
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateSigningKey } from '#shared/package/signing-key.js';
import { digestOfKey } from '#cloud/services/control/endpoint-keys.js';
import type { DesiredEndpoint } from '#cloud/services/desired-services.js';
import { EndpointWorld } from '#test/support/services/endpoint-world.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
const fixture = (name: string): string => join(import.meta.dirname, '../../fixtures/azureml', name);
let world: EndpointWorld;
beforeAll(async () => {
  world = await EndpointWorld.open(folder('data'));
  await world.addImage('digits', 1);
  await world.addImage('digits', 2);
  await world.addImage('strange', 1, generateSigningKey());
}, 60_000);
afterAll(() => world.stop());

/** As the service host has it, once it does. */
async function served(wanted: (endpoint: DesiredEndpoint) => boolean, name = 'fraud'): Promise<DesiredEndpoint> {
  for (;;) {
    const found = world.host.desired?.endpoints.find((one) => one.name === name);
    if (found !== undefined && wanted(found)) return found;
    await sleep(20);
  }
}

describe('an endpoint', () => {
  it('starts a service host, which is told by what keys callers are known', async () => {
    expect(world.starts()).toBe(0);
    await world.json('endpoint', 'create', 'fraud', '--tag', 'team=risk');
    const { primary, secondary } = await world.json<Record<string, string>>('endpoint', 'keys', 'show', 'fraud');
    const { auth } = await served(() => true);
    expect(auth).toEqual({ mode: 'key', keyDigests: [primary, secondary].map((key) => digestOfKey(key ?? '')) });
    expect(await world.run('endpoint', 'create', 'fraud')).toMatchObject({ exit: 5 });
  });

  it('runs no image before somebody says whose count, and none of a stranger', async () => {
    const create = ['deployment', 'create', 'blue', '--endpoint', 'fraud', '--image'];
    const early = await world.run(...create, 'digits:1');
    expect(early.exit).toBe(4);
    expect(early.stderr).toContain('flotilla trust propose --publish');
    await world.trust();
    const foreign = await world.run(...create, 'strange:1');
    expect(foreign.exit).toBe(3);
    expect(foreign.stderr).toContain('strange:1 is signed by nobody whom workspace default trusts');
    expect(await world.run(...create, 'digits:9')).toMatchObject({ exit: 4 });
  });

  it('answers by deployments that are ready, as an activity that ends then', async () => {
    const create = ['deployment', 'create', 'blue', '--endpoint', 'fraud', '--image', 'digits:1', '--replicas', '2'];
    const { exit, stdout, stderr } = await world.run(...create, '--all-traffic');
    expect({ exit, stdout }).toEqual({ exit: 0, stdout: 'fraud/blue is ready, and answers every request\n' });
    expect(stderr).toContain('2 of 2 replicas ready at revision 1');
    const { traffic, deployments } = await served((one) => one.traffic['blue'] === 100);
    expect(traffic).toEqual({ blue: 100 });
    expect(deployments).toMatchObject([{ name: 'blue', revision: 1, scale: { replicas: 2 } }]);
    expect(world.host.handed).toMatchObject([{ workspace: 'default', envelopes: [{}] }]);
  });

  it('fails an activity with the problem and the last lines, without secrets', async () => {
    world.host.failing.set('green', 'other answers than its golden vectors');
    const { exit, stderr } = await world.run(
      ...['deployment', 'create', 'green', '--endpoint', 'fraud', '--image', 'digits:2'],
    );
    expect(exit).not.toBe(0);
    expect(stderr).toContain('error golden.mismatch: green does not start: other answers');
    expect(stderr).toContain('green began');
    expect(stderr).not.toContain('hunter2');
    world.host.failing.clear();
  });

  it('takes another revision for another image, and the same for another number of replicas', async () => {
    await world.json('deployment', 'scale', 'green', '--endpoint', 'fraud', '--replicas', '3');
    expect((await served(() => true)).deployments[1]).toMatchObject({ revision: 1, scale: { replicas: 3 } });
    await world.json('deployment', 'update', 'green', '--endpoint', 'fraud', '--image', 'digits:1');
    expect((await served(() => true)).deployments[1]).toMatchObject({ revision: 2, image: { version: 1 } });
    const tooMany = await world.run('deployment', 'scale', 'green', '--endpoint', 'fraud', '--replicas', '99');
    expect(tooMany.stderr).toContain('services.maxReplicas is 100');
  });

  it('moves its traffic as it is told, and refuses what makes no sense', async () => {
    const refused = await world.run('endpoint', 'traffic', 'fraud', 'blue=90', 'green=20');
    expect(refused).toMatchObject({ exit: 2 });
    expect(refused.stderr).toContain('adds up to 110');
    await world.json('endpoint', 'traffic', 'fraud', '--mirror', 'green=20');
    expect(await served((one) => one.mirror !== undefined)).toMatchObject({
      mirror: { deployment: 'green', percent: 20 },
    });
    await world.json('endpoint', 'traffic', 'fraud', 'blue=90', 'green=10', '--mirror', 'none');
    const shown = await world.run('endpoint', 'show', 'fraud');
    expect(shown.stdout).toMatch(/traffic +blue=90 green=10/);
    expect(shown.stdout).toMatch(/green +digits:1 +10% +healthy +3\/3/);
  });

  it('keeps what has traffic, and what runs keeps its image', async () => {
    const busy = await world.run('deployment', 'delete', 'blue', '--endpoint', 'fraud');
    expect(busy.stderr).toContain('error deployment.in-use: blue answers 90 percent');
    const image = await world.run('image', 'delete', 'digits:1');
    expect(image.stderr).toContain('digits:1 runs as fraud/blue, fraud/green');
    expect((await world.run('endpoint', 'delete', 'fraud')).stderr).toContain('error endpoint.in-use');
    await world.json('endpoint', 'traffic', 'fraud', 'blue=100');
    expect((await world.run('deployment', 'delete', 'green', '--endpoint', 'fraud')).stdout).toBe(
      'fraud/green is gone\n',
    );
  });

  it('changes one key at a time, and is opened by tokens instead when it is told so', async () => {
    const before = await world.json<Record<string, string>>('endpoint', 'keys', 'show', 'fraud');
    const after = await world.json<Record<string, string>>(
      ...['endpoint', 'keys', 'regenerate', 'fraud', '--slot', 'secondary'],
    );
    expect(after['primary']).toBe(before['primary']);
    expect(after['secondary']).not.toBe(before['secondary']);
    expect((await world.run('endpoint', 'token', 'fraud')).stderr).toContain('endpoint.auth-mode');
    await world.json('endpoint', 'update', 'fraud', '--auth', 'token');
    const { token } = await world.json<{ token: string }>('endpoint', 'token', 'fraud', '--ttl', '10m');
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { aud: string };
    expect(await served((one) => one.auth.mode === 'token')).toMatchObject({ id: claims.aud });
  });

  it('shows no key to who may only read, and none in the audit log', async () => {
    const { token } = await world.json<{ token: string }>('token', 'create', '--name', 'reading', '--role', 'reader');
    expect((await world.runAs(token, 'endpoint', 'keys', 'show', 'fraud')).stderr).toContain('auth.forbidden');
    const entries = JSON.stringify(await world.json('audit', 'list'));
    expect(entries).toContain('/keys/regenerate');
    expect(entries).not.toContain('fle_');
  });

  it('is told again until the service host has it', async () => {
    world.host.away = true;
    const change = world.run('deployment', 'update', 'blue', '--endpoint', 'fraud', '--concurrency', '8');
    await sleep(300);
    world.host.away = false;
    expect(await change).toMatchObject({ exit: 0 });
    expect((await served(() => true)).deployments[0]?.request.maxConcurrentPerReplica).toBe(8);
  });
});

describe('files of Azure ML', () => {
  it('are applied, and say which of their fields mean nothing here', async () => {
    const file = fixture('blue-deployment.yml');
    expect((await world.run('apply', '-f', fixture('endpoint.yml'))).stdout).toBe(
      'endpoint fraud is changed: auth, tags\n',
    );
    const missing = await world.run('apply', '-f', file);
    expect(missing.stderr).toContain('a model that lies elsewhere (../model-1/model/)');
    const planned = await world.run('diff', '-f', file, '--image', 'digits:2');
    expect(planned.stdout).toBe('deployment fraud/blue would change: image, request, liveness\n');
    const { stdout, stderr } = await world.run('apply', '-f', file, '--image', 'digits:2', '--output', 'json');
    expect(stderr).toMatch(/instance_type +a replica is a process of the service host/);
    const applied = JSON.parse(stdout) as { state: string; warnings: { field: string }[] };
    expect(applied.state).toBe('succeeded');
    expect(applied.warnings.map(({ field }) => field)).toContain('environment');
    expect((await world.run('apply', '-f', file, '--image', 'digits:2')).stdout).toBe('fraud/blue is so already\n');
  });

  it('name models by the image that carries them', async () => {
    const { exit, stderr } = await world.run('apply', '-f', fixture('kubernetes-blue.yml'));
    expect(exit).toBe(4);
    expect(stderr).toContain('no image carries the model digits:3');
  });
});

describe('a release that devices run', () => {
  it('runs as a deployment too, by its image and its settings', async () => {
    await world.json(
      ...['release', 'create', 'vision', '--module', 'reader=digits:2', '--module', 'other=digits:1'],
      ...['--set', 'reader.threshold=0.5', '--set', 'reader.labels=["a"]'],
    );
    const create = ['deployment', 'create', 'red', '--endpoint', 'fraud', '--release', 'vision:1'];
    expect((await world.run(...create)).stderr).toContain('vision:1 has other, reader: say which by --module');
    expect((await world.run(...create, '--module', 'readr')).stderr).toContain('did you mean reader?');
    await world.json(...create, '--module', 'reader', '--set', 'threshold=0.9');
    const { deployments } = await served((one) => one.deployments.some(({ name }) => name === 'red'));
    expect(deployments.find(({ name }) => name === 'red')).toMatchObject({
      ...{ image: { name: 'digits', version: 2 }, settings: { threshold: 0.9, labels: ['a'] } },
    });
    await world.json(
      'deployment',
      'update',
      'red',
      '--endpoint',
      'fraud',
      '--release',
      'vision:1',
      '--module',
      'other',
    );
    const [other] = (await served(() => true)).deployments.filter(({ name }) => name === 'red');
    expect(other).toMatchObject({ revision: 2, image: { version: 1 }, settings: {} });
  });
});

describe('a shift of traffic', () => {
  it('is started, shown, held and ended by commands', async () => {
    await world.json('endpoint', 'traffic', 'fraud', 'blue=100');
    const start = ['endpoint', 'shift', 'start', 'fraud', '--to', 'red', '--steps'];
    expect((await world.run(...start, '10,5,100')).stderr).toContain('steps.1: percent must rise');
    const { exit, stderr } = await world.run(...start, '10,100', '--step-seconds', '3600');
    expect({ exit, stderr }).toMatchObject({ exit: 0, stderr: expect.stringContaining('no gates') as string });
    await served((one) => one.traffic['red'] === 10);
    expect((await world.run('endpoint', 'show', 'fraud')).stdout).toMatch(/shift +1 to red, 1\/2, 10%, running/);
    const paused = await world.run('endpoint', 'shift', 'pause', 'fraud');
    expect(paused.stdout).toMatch(/next +flotilla endpoint shift resume fraud goes on/);
    await world.json('endpoint', 'shift', 'resume', 'fraud');
    const shown = await world.run('endpoint', 'shift', 'show', 'fraud');
    expect(shown.stdout).toMatch(/to +red \(digits:1\) from blue \(digits:2\)/);
    expect(shown.stdout).toMatch(/waits +it is watched for a while, until 20/);
    expect(shown.stdout).toMatch(/step +step 1 of 2, 10%: blue=90 red=10/);
    expect(await world.run(...start, '100')).toMatchObject({ exit: 5 });
    const watching = world.run('endpoint', 'shift', 'watch', 'fraud');
    await world.json('endpoint', 'shift', 'abort', 'fraud');
    expect((await served((one) => one.traffic['red'] === undefined)).traffic).toEqual({ blue: 100 });
    expect(await watching).toMatchObject({ exit: 1, stderr: expect.stringContaining('shift.failed') as string });
    expect((await world.run('endpoint', 'shift', 'list', 'fraud')).stdout).toMatch(/1 +red +aborted/);
    expect(JSON.stringify(await world.json('audit', 'list'))).toContain('/shifts/1/orders');
  });

  it('by a file with fields that there are', async () => {
    const file = join(folder('files'), 'shift.yaml');
    await mkdir(folder('files'), { recursive: true });
    await writeFile(file, 'steps: [{ percent: 100, bakeSecond: 5 }]\n');
    const start = ['endpoint', 'shift', 'start', 'fraud', '--to', 'red', '--policy', file];
    expect((await world.run(...start)).stderr).toContain('did you mean steps.0.bakeSeconds?');
    await writeFile(file, 'steps: [{ percent: 100, bakeSeconds: 0 }]\n');
    expect((await world.run(...start, '--watch')).stdout).toContain('succeeded');
    await world.json('endpoint', 'shift', 'start', 'fraud', '--to', 'blue', '--steps', '50,100');
    await served((one) => one.traffic['blue'] === 50);
    const byHand = await world.run('endpoint', 'traffic', 'fraud', 'red=100');
    expect(byHand.stderr).toContain('shift 3 to blue ends by this');
    await expect
      .poll(() => world.run('endpoint', 'shift', 'list', 'fraud'))
      .toMatchObject({
        stdout: expect.stringMatching(/3 +blue +overtaken .* red=100 meanwhile/) as string,
      });
  });
});

describe('what a deployment collects', () => {
  const blue = async () => (await served(() => true)).deployments.find(({ name }) => name === 'blue');
  const update = ['deployment', 'update', 'blue', '--endpoint', 'fraud'];

  it('is told without another revision, and what is left out is only added to', async () => {
    const { revision } = (await blue()) ?? {};
    await world.json(...update, '--collect', '0.1', '--redact', 'iban');
    await world.json(...update, '--collect', '0.2', '--redact', 'pin', '--collection', 'model_inputs');
    expect(await blue()).toMatchObject({
      revision,
      collect: { rate: 0.2, collections: ['model_inputs'], redact: ['iban', 'pin'] },
    });
    expect((await world.run(...update, '--collect', '7')).stderr).toContain('a share of requests from 0 to 1');
    const shown = await world.run('deployment', 'show', 'blue', '--endpoint', 'fraud');
    expect(shown.stdout).toMatch(/collects +20% of requests: model_inputs, without iban, pin; at most 64 MiB/);
  });

  it('may come from a file of Azure ML, which cannot take back what is left out', async () => {
    const file = folder('collecting.yml');
    const plain = await readFile(fixture('blue-deployment.yml'), 'utf8');
    const collector = (enabled: string): string =>
      `${plain}data_collector:\n  sampling_rate: 0.5\n  rolling_rate: day\n  collections:\n    model_inputs: {enabled: '${enabled}'}\n    request: {enabled: 'True'}\n`;
    await writeFile(file, collector('True'));
    const { stderr } = await world.run('apply', '-f', file, '--image', 'digits:1');
    expect(stderr).toMatch(/data_collector.rolling_rate +files are by the hour/);
    expect(stderr).toMatch(/data_collector.collections.request +there are model_inputs and model_outputs/);
    expect(await blue()).toMatchObject({ collect: { rate: 0.5, redact: ['iban', 'pin'] } });
    await writeFile(file, collector('maybe'));
    expect((await world.run('apply', '-f', file, '--image', 'digits:1')).stderr).toContain('must be True or False');
    await writeFile(file, collector('False'));
    await world.json('apply', '-f', file, '--image', 'digits:1');
    expect(await blue()).not.toHaveProperty('collect');
    await world.json(...update, '--collect', '1');
    await world.json(...update, '--collect', 'none');
    expect(await blue()).not.toHaveProperty('collect');
  });

  it('is listed for readers, read and deleted by contributors, and both are in the audit log', async () => {
    const path = 'modelDataCollector/fraud/blue/model_inputs/2026/11/26/11/i.jsonl';
    const bytes = Buffer.from('{"iban":"DE00"}\n');
    const parts = [{ path, hour: 1, bytes }];
    await world.parts.ground.storage.append([{ workspace: 'default', source: 's', sequence: 1, parts }]);
    const { token } = await world.json<{ token: string }>('token', 'create', '--name', 'looking', '--role', 'reader');
    expect((await world.runAs(token, 'data', 'list', 'modelDataCollector/fraud/')).stdout).toContain(path);
    const to = folder('data-copy');
    const refused = await world.runAs(token, 'data', 'download', path, '--to', to);
    expect(refused.stderr).toContain('auth.forbidden');
    expect((await world.runAs(token, 'data', 'delete', path)).stderr).toContain('auth.forbidden');
    await world.json('data', 'download', 'modelDataCollector/', '--to', to);
    expect(await readFile(join(to, path))).toEqual(bytes);
    expect((await stat(join(to, path))).mode & 0o777).toBe(0o600);
    expect(await world.run('data', 'download', '../', '--to', to)).toMatchObject({ exit: 4 });
    expect(await world.run('data', 'delete', path, '--dry-run')).toMatchObject({ exit: 0 });
    expect((await world.run('data', 'delete', 'modelDataCollector/fraud/')).stdout).toContain(
      '1 files, 16 B, are deleted',
    );
    expect(await world.json('data', 'list')).toEqual([]);
    const entries = JSON.stringify(await world.json('audit', 'list', '--action', '/data'));
    expect(entries).toContain(`\\"path\\":\\"${path}`);
    expect(entries).toContain('\\"prefix\\":\\"modelDataCollector/fraud/');
    expect(entries).not.toContain('DE00');
  });
});

describe('a deleted endpoint', () => {
  it('takes its deployments along where it must, and its name comes back with other keys', async () => {
    const before = await served(() => true);
    await world.json('endpoint', 'delete', 'fraud', '--force');
    while (world.host.stops === 0) await sleep(20);
    expect(world.host.desired?.endpoints).toEqual([]);
    const made = await world.json<{ id: string }>('endpoint', 'create', 'fraud');
    expect(made.id).not.toBe(before.id);
  });
});
