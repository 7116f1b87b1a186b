/**
 * Images of simulated devices: each device fetches and verifies what says what an image is, as real ones do. Of what was
 * verified a process keeps the module's manifest, once for all of its devices, and nothing else.
 */
import { AppError } from '#shared/kernel/errors.js';
import { flattenChunks } from '#shared/package/chunk-map.js';
import { mediaTypes } from '#shared/package/media-types.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import { decodeModuleManifest, maxManifestBytes } from '#shared/package/read-manifest.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { SimulationProfile } from '#shared/protocol/simulation.js';
import type { Images } from '#agent/actions/executors.js';
import {
  SmallBlobs,
  type SmallBlobStore,
  type VerificationPorts,
  verifyImage,
} from '#agent/link/image-verification.js';
import type { Progress } from '#agent/reconcile/observed.js';

const nothingKept: SmallBlobStore = {
  read: () => Promise.resolve(undefined),
  put: () => Promise.resolve(),
  remove: () => Promise.resolve(),
};

/** By the digest of the image. Of one process. */
export type VerifiedModules = Map<Digest, ModuleManifest>;

export type FetchPorts = Omit<VerificationPorts, 'blobs'> & {
  readonly modules: VerifiedModules;
  readonly fetch: SimulationProfile['fetch'];
};

/** @throws AppError as a real download does */
export async function fetchSimulated(
  image: ImageReference,
  { modules, fetch, ...ports }: FetchPorts,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  const { manifest, map, mapDigest, smallBytes } = await verifyImage(image, { ...ports, blobs: nothingKept }, signal);
  let bytesFetched = smallBytes;
  const layer = manifest.layers.find(({ mediaType }) => mediaType === mediaTypes.moduleManifest);
  if (layer === undefined) throw new AppError('image.invalid', `${image.digest} has no module manifest`);
  const small = new SmallBlobs(ports.blocks, nothingKept, signal);
  const bytes = await small.fetch(layer, maxManifestBytes, 'module manifest');
  bytesFetched += small.bytesFetched;
  if (!modules.has(image.digest)) modules.set(image.digest, decodeModuleManifest(bytes, image.digest));
  if (fetch === 'all') {
    const chunks = flattenChunks(map).map((chunk, index) => ({ ...chunk, index }));
    await ports.blocks.fetch(
      { kind: 'chunks', map: mapDigest },
      chunks,
      async (_chunk, part) => {
        bytesFetched += part.length;
      },
      signal,
    );
  }
  onProgress({ bytesFetched, bytesReused: 0, bytesResumed: 0, bytesTotal: bytesFetched });
}

/** What was fetched is always there, and takes no room. */
export function imagesInMemory(modules: VerifiedModules): Images {
  const find = (image: Digest): Promise<ModuleManifest> => {
    const manifest = modules.get(image);
    if (manifest !== undefined) return Promise.resolve(manifest);
    return Promise.reject(new AppError('blob.not-found', `${image} was not fetched by this process`));
  };
  return {
    openStaged: find,
    readModule: find,
    folderOf: () => '',
    collectGarbage: () => Promise.resolve(),
  };
}
