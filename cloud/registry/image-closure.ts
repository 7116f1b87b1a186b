/**
 * Is an image whole? Everything that its manifest names is here with the size and bytes it names, and the
 * chunk map describes exactly these bytes: devices fetch by it and by nothing else.
 */
import { AppError } from '#shared/kernel/errors.js';
import type { Digest } from '#shared/protocol/primitives.js';
import {
  checkChunkMap,
  checkManifest,
  chunkMapLayer,
  filepathOf,
  maxImageManifestBytes,
} from '#shared/package/check-image.js';
import { flattenChunks, maxChunkMapBytes } from '#shared/package/chunk-map.js';
import { sha256Hex } from '#shared/package/digest.js';
import type { ChunkMap, Descriptor } from '#shared/package/image-schema.js';
import { mediaTypes } from '#shared/package/media-types.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import { decodeModuleManifest, maxManifestBytes } from '#shared/package/read-manifest.js';
import type { BlobRepository } from '#cloud/store/blob-repository.js';
import type { BlobStore } from '#cloud/store/blob-store.js';
import type { ImageBlob } from '#cloud/store/image-repository.js';

export interface ImageClosure {
  readonly manifestSize: number;
  readonly module: ModuleManifest;
  /** Manifest, config, layers. */
  readonly blobs: readonly ImageBlob[];
}

export interface ClosureDeps {
  readonly store: BlobStore;
  readonly blobs: BlobRepository;
}

/** @throws AppError `image.invalid`, `blob.not-found`, `blob.corrupt`, `module.invalid`, `module.not-yet` */
export async function readClosure(
  deps: ClosureDeps,
  workspace: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<ImageClosure> {
  const { store } = deps;
  const manifestSize = await requireBlob(deps, workspace, digest, 'the manifest');
  await store.verify(digest);
  const manifest = checkManifest(await store.readAll(digest, maxImageManifestBytes), digest);
  const parts = [manifest.config, ...manifest.layers];
  for (const part of parts) {
    signal.throwIfAborted();
    const size = await requireBlob(deps, workspace, part.digest, nameOf(part));
    if (size !== part.size) {
      throw new AppError(
        'image.invalid',
        `${nameOf(part)} has ${String(size)} bytes, the manifest says ${String(part.size)}`,
      );
    }
    await store.verify(part.digest);
  }
  const chunkMap = await store.readAll(chunkMapLayer(manifest).digest, maxChunkMapBytes);
  await checkChunks(store, checkChunkMap(manifest, chunkMap), signal);
  return {
    manifestSize,
    module: await readModule(store, manifest.layers),
    blobs: [
      { mediaType: mediaTypes.manifest, digest, size: manifestSize, path: '' },
      ...parts.map((part) => ({
        mediaType: part.mediaType,
        digest: part.digest,
        size: part.size,
        path: filepathOf(part) ?? '',
      })),
    ],
  };
}

async function requireBlob(deps: ClosureDeps, workspace: string, digest: Digest, what: string): Promise<number> {
  const size = await deps.blobs.find(workspace, digest);
  if (size === undefined) {
    throw new AppError('blob.not-found', `${what}: there is no blob ${digest} in this workspace: upload it first`);
  }
  return size;
}

async function checkChunks(store: BlobStore, map: ChunkMap, signal: AbortSignal): Promise<void> {
  for (const [index, chunk] of flattenChunks(map).entries()) {
    signal.throwIfAborted();
    if (sha256Hex(await store.readRange(chunk.blob, chunk.offset, chunk.length)) !== chunk.sha256) {
      throw new AppError(
        'image.invalid',
        `chunk ${String(index)} of the chunk map is not what ${chunk.blob} has at byte ${String(chunk.offset)}`,
      );
    }
  }
}

/** @throws AppError `image.invalid`, `blob.not-found` */
export async function readModule(store: BlobStore, layers: readonly Descriptor[]): Promise<ModuleManifest> {
  const layer = layers.find(({ mediaType }) => mediaType === mediaTypes.moduleManifest);
  if (layer === undefined) throw new AppError('image.invalid', 'the image has no module manifest');
  return decodeModuleManifest(await store.readAll(layer.digest, maxManifestBytes), "the image's module manifest");
}

function nameOf(part: Descriptor): string {
  return filepathOf(part) ?? part.mediaType;
}
