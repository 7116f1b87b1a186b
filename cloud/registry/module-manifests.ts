/** The module manifests in images, by the image's digest; of an index that of its first variant, which speaks for all. What a digest stands for never changes, so some are kept. */
import { AppError } from '#shared/kernel/errors.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import { checkManifest, maxImageManifestBytes } from '#shared/package/check-image.js';
import { isVariantIndex, readVariantIndex } from '#shared/package/variant-index.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { BlobStore } from '#cloud/store/blob-store.js';
import { readModule } from './image-closure.js';

const maxKept = 256;

export class ModuleManifests {
  private readonly kept = new Map<Digest, ModuleManifest>();

  constructor(private readonly store: BlobStore) {}

  /** @throws AppError `blob.not-found`, `image.invalid` for an image that is not whole */
  async of(image: Digest): Promise<ModuleManifest> {
    const kept = this.kept.get(image);
    if (kept !== undefined) return kept;
    const bytes = await this.store.readAll(image, maxImageManifestBytes);
    const module = isVariantIndex(bytes)
      ? await this.of(firstOf(bytes, image))
      : await readModule(this.store, checkManifest(bytes, image).layers);
    const [oldest] = this.kept.keys();
    if (oldest !== undefined && this.kept.size >= maxKept) this.kept.delete(oldest);
    this.kept.set(image, module);
    return module;
  }
}

function firstOf(bytes: Uint8Array, index: Digest): Digest {
  const [first] = readVariantIndex(bytes, index).variants;
  if (first === undefined) throw new AppError('image.invalid', `the index ${index} names no variant`);
  return first.digest;
}
