/** What may go from the disk: all that neither is desired, nor committed, nor the way back, nor prefetched. */
import type { Desired, ImageReference } from '#shared/protocol/desired.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { Images } from '#agent/actions/executors.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import type { CommittedState } from '#agent/store/committed-state.js';
import type { ImageStore } from '#agent/store/image-store.js';
import type { Committed } from '#agent/store/state-documents.js';

export function imagesToKeep(desired: Desired | undefined, committed: Committed): ImageReference[] {
  return [
    ...Object.values(desired?.modules ?? {}).map(({ image }) => image),
    ...Object.values(desired?.modules ?? {}).flatMap(({ shadow }) => shadow?.image ?? []),
    ...(desired?.prefetch ?? []),
    ...Object.values(committed.modules).map((module) => module.desired.image),
    ...Object.values(committed.kept).flatMap((ways) => ways.map(({ image }) => image)),
  ];
}

/** What actions are given of the images on this disk. */
export function imagesOnDisk(
  images: ImageStore,
  state: Pick<DeviceState, 'desired'>,
  committed: Pick<CommittedState, 'value'>,
): Images {
  return {
    openStaged: (image) => images.openStaged(image),
    readModule: (image) => images.readModule(image),
    folderOf: (image) => images.folderOf(image),
    collectGarbage: () => collectGarbage(images, state.desired, committed.value),
  };
}

/** Only while no download is under way: a blob that just came is not in any list yet. */
export async function collectGarbage(
  images: ImageStore,
  desired: Desired | undefined,
  committed: Committed,
): Promise<void> {
  const kept = imagesToKeep(desired, committed);
  const blobs = new Set<Digest>();
  for (const image of kept) {
    blobs.add(image.signature.digest);
    for (const digest of await images.partsOf(image.digest)) blobs.add(digest);
  }
  await images.blobs.collect(blobs);
  await images.collectFolders(new Set(kept.map(({ digest }) => digest)));
}
