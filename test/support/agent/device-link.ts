/** The parts of an agent that download, on a real connection to a fake cloud. */
import { mkdir } from 'node:fs/promises';
import { BlockClient, defaultBlockOptions } from '#agent/link/block-client.js';
import { DeviceSession } from '#agent/link/device-session.js';
import { downloadImage } from '#agent/link/image-download.js';
import type { Progress } from '#agent/reconcile/observed.js';
import { BlobCache } from '#agent/store/blob-cache.js';
import { ImageStore } from '#agent/store/image-store.js';
import { stateFolder } from '#agent/store/state-folder.js';
import { systemClock } from '#shared/kernel/clock.js';
import { createLogger } from '#shared/platform/logger.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { address, type FakeCloud, until } from '#test/support/agent/fake-cloud.js';

export interface LinkedDevice {
  readonly images: ImageStore;
  readonly folder: ReturnType<typeof stateFolder>;
  download(
    image: ImageReference,
    options?: { signal?: AbortSignal; freeBytes?: number; neighbours?: string[] },
  ): Promise<Progress>;
  readonly progress: () => Progress | undefined;
  close(): Promise<void>;
}

export async function linkDevice(cloud: FakeCloud, root: string): Promise<LinkedDevice> {
  const folder = stateFolder(root);
  for (const path of [folder.blobs, folder.partial, folder.modules]) await mkdir(path, { recursive: true });
  const blocks = new BlockClient(
    {
      clock: systemClock,
      publish: (request) => void session.publish('blocksGet', request),
      firstId: Math.floor(Math.random() * 2 ** 32),
    },
    { ...defaultBlockOptions, stallMs: 200, busyPauseMs: 20 },
  );
  const client = await cloud.deviceCertificate();
  const session: DeviceSession = new DeviceSession(
    {
      address,
      urls: [cloud.brokerUrl],
      serverName: controlPlaneServerName,
      proxy: { proxy: undefined, noProxy: '' },
      bootId: 1,
      agentVersion: '0.0.0',
      keepaliveSeconds: 30,
      reconnect: { baseMs: 20, maxMs: 100 },
      connectTimeoutMs: 5_000,
    },
    {
      clock: systemClock,
      random: Math.random,
      logger: createLogger('test', { level: 'silent', pretty: false }),
      client: () => client,
      authorities: () => [cloud.authorityPem],
      trustedNow: () => Number.NEGATIVE_INFINITY,
      onLink: (up) => blocks.linkChanged(up),
      onMessage: (channel, _id, payload) => {
        if (channel === 'blocksData') blocks.receive(payload);
      },
    },
  );
  session.start();
  await until('connected', () => session.connected);
  const images = new ImageStore(new BlobCache(folder), folder.modules);
  let progress: Progress | undefined;
  return {
    images,
    folder,
    progress: () => progress,
    download: async (image, options = {}) => {
      await downloadImage(
        image,
        {
          images,
          blocks,
          trust: () => ({ version: 0, publishers: [cloud.publisher.publicKey], withdrawn: [] }),
          neighbours: () => options.neighbours ?? [],
          accelerators: () => ['cpu'],
          freeBytes: async () => options.freeBytes ?? Number.MAX_SAFE_INTEGER,
          reserveBytes: 1000,
          cacheFolder: folder.root,
        },
        (now) => {
          progress = now;
        },
        options.signal ?? new AbortController().signal,
      );
      if (progress === undefined) throw new Error('no progress was told');
      return progress;
    },
    close: () => session.stop(),
  };
}
