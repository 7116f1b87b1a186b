/** An agent in this process, on a fresh state folder, enrolled with a fake cloud. */
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPublicKey } from 'node:crypto';
import { agentConfigFrom } from '#agent/config.js';
import { makeDeviceKeys } from '#agent/identity/device-keys.js';
import { pinnedTrust, trustDocument } from '#agent/identity/device-trust.js';
import { identityDocument } from '#agent/identity/identity.js';
import { type RunningAgent, startAgent } from '#agent/main.js';
import { stateFolder } from '#agent/store/state-folder.js';
import { systemClock } from '#shared/kernel/clock.js';
import { buildImage } from '#shared/package/build-image.js';
import { encodeEnvelope, signImage } from '#shared/package/image-signature.js';
import { blobPath, writeBlob } from '#shared/package/oci-layout.js';
import type { SigningKey } from '#shared/package/signing-key.js';
import type { DesiredModule, ImageReference } from '#shared/protocol/desired.js';
import { controlPlaneServerName as serverName } from '#shared/protocol/enrolment.js';
import { address, type FakeCloud } from '#test/support/agent/fake-cloud.js';

export async function enrolledFolder(cloud: FakeCloud): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'fa-'));
  const folder = stateFolder(root);
  const keys = makeDeviceKeys();
  const publicKey = createPublicKey(keys.privateKey).export({ format: 'der', type: 'spki' });
  const validity = { nowMs: Date.now(), lifetimeMs: 90 * 86_400_000 };
  const { certificate } = await cloud.issuer.issueDevice(address, publicKey, validity);
  await trustDocument(folder.trust).write(
    pinnedTrust({
      directors: [cloud.director.publicKey],
      publishers: [cloud.publisher.publicKey],
      authorities: [cloud.authorityPem],
    }),
  );
  await identityDocument(folder.identity).write({
    schema: 2,
    ...address,
    gateway: 'https://127.0.0.1:1',
    broker: { url: cloud.brokerUrl, serverName },
    certificate,
    ...keys,
    enrolledAt: '2026-01-01T00:00:00.000Z',
  });
  return root;
}

export function configFor(stateDir: string, flags: Record<string, string> = {}) {
  return agentConfigFrom({
    flags: {
      stateDir,
      'scoring.port': '0',
      'log.level': 'silent',
      'telemetry.intervalSeconds': '0.3',
      'link.maxReconnectSeconds': '0.3',
      ...flags,
    },
    environment: {},
    isRoot: false,
    home: '/nowhere',
  });
}

export function run(stateDir: string, flags: Record<string, string> = {}): Promise<RunningAgent> {
  return startAgent(configFor(stateDir, flags), { clock: systemClock, random: Math.random, pretty: false });
}

export interface BuiltModule {
  readonly image: ImageReference;
  readonly module: DesiredModule;
}

/** Builds and signs an image into a layout. */
export async function buildModule(input: {
  readonly moduleFolder: string;
  readonly layout: string;
  readonly publisher: SigningKey;
  readonly version?: number;
  readonly models?: Record<string, string>;
  readonly goldenFile?: string;
  readonly signedName?: string;
}): Promise<BuiltModule> {
  await mkdir(input.layout, { recursive: true });
  const built = await buildImage({
    moduleFolder: input.moduleFolder,
    layout: input.layout,
    ...(input.models === undefined ? {} : { models: input.models }),
    ...(input.goldenFile === undefined ? {} : { goldenFile: input.goldenFile }),
    log: () => undefined,
  });
  const statement = {
    schema: 1,
    digest: built.digest,
    name: input.signedName ?? built.name,
    flavor: built.flavor,
  } as const;
  const signature = await writeBlob(input.layout, encodeEnvelope(signImage(statement, input.publisher)));
  const image: ImageReference = {
    name: built.name,
    version: input.version ?? 1,
    digest: built.digest,
    size: (await stat(blobPath(input.layout, built.digest))).size,
    signature,
  };
  return {
    image,
    module: { image, settings: {}, policy: { restart: 'always', maxRestarts: 20, windowSeconds: 600 } },
  };
}

export function removeFolder(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true, maxRetries: 5 });
}
