/** Downloads as this device does them: within its disk, where earlier versions make room before anything waits. */
import { AppError } from '#shared/kernel/errors.js';
import type { Desired } from '#shared/protocol/desired.js';
import { Fetcher } from '#agent/actions/fetcher.js';
import { imagesToKeep } from '#agent/actions/garbage.js';
import type { BlockClient } from '#agent/link/block-client.js';
import { downloadImage } from '#agent/link/image-download.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import { type CommittedState, withoutOldestKept } from '#agent/store/committed-state.js';
import { freeBytes } from '#agent/store/disk-space.js';
import type { ImageStore } from '#agent/store/image-store.js';

export interface ImageFetcherPorts {
  readonly state: DeviceState;
  readonly images: ImageStore;
  readonly blocks: BlockClient;
  readonly committed: CommittedState;
  /** Public keys of those who may say what runs here, now. */
  readonly publishers: () => readonly string[];
  readonly reserveBytes: number;
  readonly cacheFolder: string;
  readonly onUnexpected: (error: unknown) => void;
}

export function createImageFetcher(ports: ImageFetcherPorts): Fetcher {
  const { state, images, committed } = ports;
  const neededNow = () => imagesToKeep(state.desired, committed.value);
  return new Fetcher({
    fetch: async (image, staged, onProgress, signal) => {
      await makingRoom(ports, () =>
        downloadImage(
          image,
          {
            ...ports,
            publishers: ports.publishers(),
            freeBytes,
            neighbours: () => [...new Set(neededNow().map(({ digest }) => digest))],
          },
          onProgress,
          signal,
        ),
      );
      if (staged && (await images.openStaged(image.digest)) === undefined) await images.stage(image.digest);
    },
    onProgress: (track, key, progress) => state.take({ kind: 'fetchProgressed', track, key, progress }),
    onDone: (track, key) => state.take({ kind: 'staged', track, key }),
    onFailed: (track, key, problem) => state.take({ kind: 'versionFailed', track, key, problem }),
    onUnexpected: ports.onUnexpected,
  });
}

/** Each try without room costs the oldest of the versions that are kept for a return. */
async function makingRoom(ports: ImageFetcherPorts, download: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      await download();
      return;
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'disk.full') throw error;
      if (!(await giveUpOldest(ports))) throw error;
    }
  }
}

async function giveUpOldest({ state, images, committed }: ImageFetcherPorts): Promise<boolean> {
  const desired: Desired | undefined = state.desired;
  const given = await committed.change(withoutOldestKept);
  if (given === undefined) return false;
  await images.discard(given.digest, imagesToKeep(desired, committed.value));
  return true;
}
