import { createPublicKey } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { makeDeviceKeys } from '#agent/identity/device-keys.js';
import { pinnedTrust } from '#agent/identity/device-trust.js';
import { type DeviceCounts, SimulatedDevice } from '#agent/simulate/simulated-device.js';
import type { TrustStore } from '#agent/trust/trust-keeper.js';
import { systemClock } from '#shared/kernel/clock.js';
import { signEnvelope } from '#shared/package/dsse.js';
import { generateSigningKey } from '#shared/package/signing-key.js';
import { createLogger } from '#shared/platform/logger.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { payloadTypes } from '#shared/protocol/envelope.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { type SimulationGroup, simulationProfileSchema } from '#shared/protocol/simulation.js';
import { telemetryBatchSchema } from '#shared/protocol/stream.js';
import { buildModule, type BuiltModule, removeFolder } from '#test/support/agent/agent-harness.js';
import { address, FakeCloud, until } from '#test/support/agent/fake-cloud.js';
import { repository } from '#test/support/repository.js';

const profile = simulationProfileSchema.parse({
  loadSeconds: [0, 0],
  telemetry: { intervalSeconds: 0.2, requestsPerMinute: 6000 },
});
const digits = join(repository, 'modules/digits');

/** Simulated devices against a control plane that can lie, on a real TLS broker: each test is the next boot of one device. */
let cloud: FakeCloud;
let folder: string;
let good: BuiltModule;
let unsigned: BuiltModule;
let counts: DeviceCounts;
let boot = 0;

beforeAll(async () => {
  cloud = await FakeCloud.start();
  folder = await mkdtemp(join(tmpdir(), 'flotilla-simulated-'));
  const [layout, other] = [join(folder, 'layout'), join(folder, 'other')];
  cloud.layouts.push(layout, other);
  good = await buildModule({ moduleFolder: digits, layout, publisher: cloud.publisher });
  const models = { digits: join(digits, 'model-v2.onnx') };
  unsigned = await buildModule({
    ...{ moduleFolder: digits, layout: other, models, goldenFile: join(digits, 'golden-v2.json') },
    publisher: generateSigningKey(),
  });
});
afterAll(async () => {
  await cloud.close();
  await removeFolder(folder);
});
beforeEach(() => {
  boot += 1;
});

async function withDevice(use: () => Promise<void>, group?: SimulationGroup): Promise<void> {
  const keys = makeDeviceKeys();
  const spki = createPublicKey(keys.privateKey).export({ format: 'der', type: 'spki' });
  const validity = { nowMs: Date.now(), lifetimeMs: 86_400_000 };
  const { certificate } = await cloud.issuer.issueDevice(address, spki, validity);
  const trust = pinnedTrust({
    directors: [cloud.director.publicKey],
    publishers: [cloud.publisher.publicKey],
    authorities: [cloud.authorityPem],
  });
  const store: TrustStore = { current: () => trust, replace: () => Promise.resolve() };
  const { documents, refused, connections, reports, batches, commands, fetchedBytes } = zeros;
  counts = { documents, refused, connections, reports, batches, commands, fetchedBytes };
  const bugs: unknown[] = [];
  const device = new SimulatedDevice({
    ...{ clock: systemClock, random: Math.random, profile, group, counts, trust: store, modules: new Map() },
    logger: createLogger('simulated', { level: 'silent', pretty: false }),
    identity: {
      ...{ schema: 2, ...address, ...keys, certificate },
      gateway: 'https://127.0.0.1:1',
      broker: { url: cloud.brokerUrl, serverName: controlPlaneServerName },
      enrolledAt: '2026-01-01T00:00:00.000Z',
    },
    bootId: boot,
    note: () => undefined,
    onBug: (error) => bugs.push(error),
  });
  device.start();
  try {
    await until('connected', () => device.connected);
    await use();
    expect(bugs).toEqual([]);
  } finally {
    await device.stop();
  }
}

const zeros = { documents: 0, refused: 0, connections: 0, reports: 0, batches: 0, commands: 0, fetchedBytes: 0 };

test('what a known director asks and a known publisher signed is fetched, verified, run and measured', async () => {
  await withDevice(async () => {
    cloud.publishDesired(cloud.desiredOf(1, { digits: good.module }));
    await until('converged', () => cloud.state.converged && cloud.state.generation === 1);
    expect(cloud.state.modules['digits']?.active).toMatchObject({ digest: good.image.digest, state: 'running' });
    // The signature, the manifests and the chunk map came over the broker; the model's own bytes did not.
    expect(counts.fetchedBytes).toBeGreaterThan(good.image.size);
    expect(cloud.requests.every(({ source }) => source.kind === 'blob')).toBe(true);
    await until('telemetry of it', () => cloud.stored.telemetry.some((batch) => batch['generation'] === 1));
    const batch = telemetryBatchSchema.parse(cloud.stored.telemetry.findLast(({ bootId }) => bootId === boot));
    expect(batch.modules['digits']).toMatchObject({ digest: good.image.digest, provider: 'cpu' });
  });
});

test('a document that another director signed, or that was changed on its way, is refused and changes nothing', async () => {
  const refusedAs = (code: string) => (): boolean => cloud.state.refused?.problem.code === code;
  await withDevice(async () => {
    await until('it runs what is retained', () => cloud.state.converged);
    cloud.publishDesired(cloud.desiredOf(5, { digits: good.module }), generateSigningKey());
    await until('refused', refusedAs('signature.unknown-key'));
    const signed = signEnvelope(payloadTypes.desired, encodeMessage(cloud.desiredOf(5, {})), cloud.director);
    const payload = Buffer.from(JSON.stringify(cloud.desiredOf(6, {}))).toString('base64');
    cloud.publish('desired', { ...signed, payload });
    await until('refused again', refusedAs('signature.invalid'));
    expect(counts).toMatchObject({ documents: 1, refused: 2 });
    expect(cloud.state).toMatchObject({ generation: 1, converged: true });
  });
});

test('an image that no known publisher signed is refused for good', async () => {
  await withDevice(async () => {
    cloud.publishDesired(cloud.desiredOf(6, { digits: unsigned.module }));
    await until('rejected', () => cloud.state.modules['digits']?.candidate?.state === 'rejected');
    expect(cloud.state.modules['digits']?.candidate?.reason?.code).toBe('signature.unknown-key');
    expect(cloud.state.converged).toBe(false);
  });
});

test('a device of a group that rejects an image goes on with the version before it', async () => {
  const group: SimulationGroup = { name: 'rejecting', percent: 100, with: ['digits:2'], rejects: true };
  const next: BuiltModule['module'] = { ...good.module, image: { ...good.image, version: 2 } };
  await withDevice(async () => {
    cloud.publishDesired(cloud.desiredOf(7, { digits: good.module }));
    await until('the first version runs', () => cloud.state.converged && cloud.state.generation === 7);
    cloud.publishDesired(cloud.desiredOf(8, { digits: next }));
    await until('rejected', () => cloud.state.modules['digits']?.candidate?.state === 'rejected');
    expect(cloud.state.modules['digits']).toMatchObject({
      active: { version: 1, state: 'running' },
      candidate: { version: 2, reason: { code: 'golden.mismatch' } },
    });
  }, group);
});
