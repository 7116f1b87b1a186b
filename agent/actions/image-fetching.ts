/** The fetcher of a device: images into its cache, unpacked where they are to run, told as facts. */
import type { AgentConfig } from '#agent/config.js';
import { Fetcher } from '#agent/actions/fetcher.js';
import { imagesToKeep } from '#agent/actions/garbage.js';
import { makingRoom } from '#agent/actions/making-room.js';
import type { TrustSource } from '#agent/identity/device-trust.js';
import type { BlockClient } from '#agent/link/block-client.js';
import { downloadImage } from '#agent/link/image-download.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import type { CommittedState } from '#agent/store/committed-state.js';
import { freeBytes } from '#agent/store/disk-space.js';
import type { ImageStore } from '#agent/store/image-store.js';
import type { StateFolder } from '#agent/store/state-folder.js';

export interface ImageFetchingParts {
  readonly config: AgentConfig;
  readonly folder: StateFolder;
  readonly trust: TrustSource;
  readonly images: ImageStore;
  readonly blocks: BlockClient;
  readonly state: DeviceState;
  readonly committed: CommittedState;
  /** Providers that run models here. */
  readonly accelerators: { readonly current: readonly string[] };
  readonly onBug: (error: unknown) => void;
}

export function createFetcher(parts: ImageFetchingParts): Fetcher {
  const { config, folder, trust, images, blocks, state, committed, onBug } = parts;
  return new Fetcher({
    fetch: async (image, staged, onProgress, signal) => {
      const ports = {
        images,
        blocks,
        trust: () => trust.current(),
        accelerators: () => parts.accelerators.current,
        neighbours: () => [...new Set(imagesToKeep(state.desired, committed.value).map(({ digest }) => digest))],
        freeBytes,
        reserveBytes: config.disk.reserveBytes,
        cacheFolder: folder.root,
      };
      await makingRoom(parts, () => downloadImage(image, ports, onProgress, signal));
      if (staged && (await images.openStaged(image.digest)) === undefined) await images.stage(image.digest);
    },
    onProgress: (track, key, progress) => state.take({ kind: 'fetchProgressed', track, key, progress }),
    onDone: (track, key) => state.take({ kind: 'staged', track, key }),
    onFailed: (track, key, problem) => state.take({ kind: 'versionFailed', track, key, problem }),
    onUnexpected: onBug,
  });
}
