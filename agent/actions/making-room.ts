/** Versions that are kept for a return make room, the oldest first, before a download waits for a disk to empty. */
import { AppError } from '#shared/kernel/errors.js';
import { imagesToKeep } from '#agent/actions/garbage.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import { type CommittedState, withoutOldestKept } from '#agent/store/committed-state.js';
import type { ImageStore } from '#agent/store/image-store.js';

export interface RoomParts {
  readonly state: DeviceState;
  readonly images: ImageStore;
  readonly committed: CommittedState;
}

/** @throws what the download does; `disk.full` once nothing is kept that could go */
export async function makingRoom(parts: RoomParts, download: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      await download();
      return;
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'disk.full') throw error;
      if (!(await giveUpOldest(parts))) throw error;
    }
  }
}

async function giveUpOldest({ state, images, committed }: RoomParts): Promise<boolean> {
  const given = await committed.change(withoutOldestKept);
  if (given === undefined) return false;
  await images.discard(given.digest, imagesToKeep(state.desired, committed.value));
  return true;
}
