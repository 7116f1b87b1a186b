/**
 * Brings an image into the cache: verified as image-verification.ts says, then each chunk by the chunk map. Nothing is
 * kept under its name before that.
 */
import type { ImageReference } from '#shared/protocol/desired.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { Progress } from '#agent/reconcile/observed.js';
import { type FreeBytes, requireRoom } from '#agent/store/disk-space.js';
import type { ImageStore } from '#agent/store/image-store.js';
import type { BlockClient } from '#agent/link/block-client.js';
import { fetchBlobs } from '#agent/link/blob-fetch.js';
import { type VerificationPorts, verifyImage } from '#agent/link/image-verification.js';

export interface DownloadPorts extends Pick<VerificationPorts, 'trust' | 'accelerators'> {
  readonly images: ImageStore;
  readonly blocks: BlockClient;
  /** Images that may hold chunks of this one. */
  readonly neighbours: () => readonly Digest[];
  readonly freeBytes: FreeBytes;
  readonly reserveBytes: number;
  readonly cacheFolder: string;
}

/** @throws AppError whose code says whether another try helps */
export async function downloadImage(
  image: ImageReference,
  ports: DownloadPorts,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  const { smallBytes, map, mapDigest } = await verifyImage(image, { ...ports, blobs: ports.images.blobs }, signal);
  await fetchBlobs({
    map,
    mapDigest,
    images: ports.images,
    blocks: ports.blocks,
    neighbours: ports.neighbours().filter((digest) => digest !== image.digest),
    smallBytes,
    requireRoom: (bytes) => requireRoom(ports.cacheFolder, bytes, ports.reserveBytes, ports.freeBytes),
    onProgress,
    signal,
  });
}
