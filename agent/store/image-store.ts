/**
 * Images on this disk: their documents in the cache, and their unpacked folders. A folder is made from
 * blobs that were hashed in that moment, and appears by a rename.
 */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import { errno } from '#shared/platform/atomic-file.js';
import { checkManifest, maxImageManifestBytes } from '#shared/package/check-image.js';
import { digestFile, hexOf } from '#shared/package/digest.js';
import { type ChunkMap, chunkMapSchema, type ImageManifest } from '#shared/package/image-schema.js';
import { mediaTypes } from '#shared/package/media-types.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import { readUnpackedManifest, unpackImage } from '#shared/package/unpack-image.js';
import { maxWholeBlobBytes } from '#shared/protocol/blocks.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { BlobCache } from '#agent/store/blob-cache.js';

export class ImageStore {
  constructor(
    readonly blobs: BlobCache,
    private readonly modulesFolder: string,
  ) {}

  folderOf(image: Digest): string {
    return join(this.modulesFolder, hexOf(image));
  }

  /** @returns undefined when it is not here, no longer readable, or not of the form that may be unpacked */
  async manifestOf(image: Digest): Promise<ImageManifest | undefined> {
    const bytes = await this.blobs.read(image, maxImageManifestBytes);
    if (bytes === undefined) return undefined;
    try {
      return checkManifest(bytes, image);
    } catch (error) {
      if (error instanceof AppError) return undefined;
      throw error;
    }
  }

  async chunkMapOf(manifest: ImageManifest): Promise<ChunkMap | undefined> {
    const layer = manifest.layers.find(({ mediaType }) => mediaType === mediaTypes.chunkMap);
    if (layer === undefined) return undefined;
    const bytes = await this.blobs.read(layer.digest, maxWholeBlobBytes);
    if (bytes === undefined) return undefined;
    const parsed = decodeMessage(chunkMapSchema, bytes, maxWholeBlobBytes);
    return parsed.ok ? parsed.value : undefined;
  }

  /**
   * Hashes every blob of the image, then unpacks it.
   *
   * @throws AppError `blob.digest-mismatch` after removing what is damaged, so that it is fetched anew
   */
  async stage(image: Digest): Promise<ModuleManifest> {
    const manifest = await this.requireIntact(image);
    const target = this.folderOf(image);
    await rm(target, { recursive: true, force: true });
    const { manifest: module } = await unpackImage({
      manifest,
      blobPath: (digest) => this.blobs.pathOf(digest),
      target,
    });
    return module;
  }

  /**
   * The unpacked module, with its bytes checked once more: model files share them with the cache.
   *
   * @returns undefined, and the folder gone, when it cannot be used as it is
   */
  async openStaged(image: Digest): Promise<ModuleManifest | undefined> {
    const target = this.folderOf(image);
    try {
      await stat(target);
      await this.requireIntact(image);
      return await readUnpackedManifest(target);
    } catch (error) {
      if (!(error instanceof AppError) && errno(error) === undefined) throw error;
      await rm(target, { recursive: true, force: true });
      return undefined;
    }
  }

  /** The module's manifest, of a folder that this process has staged or opened. */
  readModule(image: Digest): Promise<ModuleManifest> {
    return readUnpackedManifest(this.folderOf(image));
  }

  /** Digests of everything the image is made of, as far as its documents are here. */
  async partsOf(image: Digest): Promise<Digest[]> {
    const manifest = await this.manifestOf(image);
    if (manifest === undefined) return [image];
    return [image, manifest.config.digest, ...manifest.layers.map(({ digest }) => digest)];
  }

  /** Lets go of an image, but for what the others are made of as well. */
  async discard(image: Digest, others: readonly ImageReference[]): Promise<void> {
    if (others.some(({ digest }) => digest === image)) return;
    const shared = new Set<Digest>();
    for (const { digest } of others) for (const part of await this.partsOf(digest)) shared.add(part);
    const parts = await this.partsOf(image);
    await rm(this.folderOf(image), { recursive: true, force: true });
    for (const part of parts) if (!shared.has(part)) await this.blobs.remove(part);
  }

  async collectFolders(keep: ReadonlySet<Digest>): Promise<void> {
    const names = new Set([...keep].map(hexOf));
    for (const name of await readdir(this.modulesFolder)) {
      if (!names.has(name)) await rm(join(this.modulesFolder, name), { recursive: true, force: true });
    }
  }

  private async requireIntact(image: Digest): Promise<ImageManifest> {
    const manifest = await this.manifestOf(image);
    if (manifest === undefined) throw damaged(image);
    const wrong: Digest[] = [];
    for (const { digest, size } of [manifest.config, ...manifest.layers]) {
      if (!(await this.blobs.has(digest))) wrong.push(digest);
      else {
        const actual = await digestFile(this.blobs.pathOf(digest));
        if (actual.digest !== digest || actual.size !== size) {
          await this.blobs.remove(digest);
          wrong.push(digest);
        }
      }
    }
    const [first] = wrong;
    if (first !== undefined) throw damaged(first);
    return manifest;
  }
}

function damaged(digest: Digest): AppError {
  return new AppError(
    'blob.digest-mismatch',
    `${digest} on this device is missing or no longer has its digest; it is fetched again`,
    { details: { digest } },
  );
}
