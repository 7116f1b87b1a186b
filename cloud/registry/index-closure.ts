/** Is an index of variants whole? Each is an image of the workspace that runs on what the index says of it. */
import { AppError } from '#shared/kernel/errors.js';
import { formatReference } from '#shared/kernel/names.js';
import { mediaTypes } from '#shared/package/media-types.js';
import { type IndexedVariant, maxIndexBytes, readVariantIndex } from '#shared/package/variant-index.js';
import { providersOn } from '#shared/protocol/accelerators.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { BlobRepository } from '#cloud/store/blob-repository.js';
import type { BlobStore } from '#cloud/store/blob-store.js';
import type { ImageBlob, ImageRepository } from '#cloud/store/image-repository.js';
import { ModuleManifests } from './module-manifests.js';

export interface IndexClosure {
  readonly name: string;
  readonly manifestSize: number;
  readonly blobs: readonly ImageBlob[];
  readonly variants: readonly IndexedVariant[];
}

export interface IndexDeps {
  readonly store: BlobStore;
  readonly blobs: BlobRepository;
  readonly images: Pick<ImageRepository, 'find'>;
}

/** @throws AppError `blob.not-found`, `blob.corrupt`, `image.not-found`, `image.invalid` that names the variant */
export async function readIndexClosure(deps: IndexDeps, workspace: string, digest: Digest): Promise<IndexClosure> {
  const { store, blobs, images } = deps;
  const size = await blobs.find(workspace, digest);
  if (size === undefined)
    throw new AppError('blob.not-found', `there is no blob ${digest} here: upload the index first`);
  await store.verify(digest);
  const { name, variants } = readVariantIndex(await store.readAll(digest, maxIndexBytes), digest);
  const manifests = new ModuleManifests(store);
  for (const variant of variants) {
    const image = await images.find(workspace, { digest: variant.digest });
    if (image === undefined) {
      throw new AppError(
        'image.not-found',
        `variant ${variant.name} ${variant.digest} is no image here: register it first`,
      );
    }
    if (image.flavor === 'index') throw invalid(`${formatReference(image)} is an index itself: name its variants`);
    if (image.name !== variant.name || image.manifestSize !== variant.size) {
      throw invalid(`${variant.digest} is ${formatReference(image)}, not what the index says of it`);
    }
    const { accelerators } = await manifests.of(variant.digest);
    const could = providersOn(variant.accelerator, accelerators);
    if (could.length > 0 && variant.providers.every((one) => could.some((other) => other === one))) continue;
    throw invalid(
      `${formatReference(image)} names ${accelerators.join(', ')} as its accelerators: on ${variant.accelerator} it runs ${could.length === 0 ? 'nowhere' : `with ${could.join(', ')} alone`}`,
    );
  }
  return { name, manifestSize: size, blobs: [{ mediaType: mediaTypes.index, digest, size, path: '' }], variants };
}

function invalid(message: string): AppError {
  return new AppError('image.invalid', message);
}
