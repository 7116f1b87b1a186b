/**
 * The store's `index.json`: what other tools find in the layout, for example
 * `skopeo copy oci:<folder>:<workspace>/<name>:<version> …`. Always rewritten whole from the database.
 */
import { join } from 'node:path';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { annotations, mediaTypes } from '#shared/package/media-types.js';
import type { BlobStore } from '#cloud/store/blob-store.js';
import type { ImageRepository } from '#cloud/store/image-repository.js';
import { TurnTaker } from '#cloud/store/turn-taker.js';

export class ImageIndex {
  private readonly turns = new TurnTaker();

  constructor(
    private readonly store: BlobStore,
    private readonly images: ImageRepository,
  ) {}

  /** Reads the database when its turn comes, so that the last one to write saw every change. */
  async write(): Promise<void> {
    await this.turns.run(async () => {
      const manifests = (await this.images.listForIndex()).map((image) => ({
        mediaType: image.flavor === 'index' ? mediaTypes.index : mediaTypes.manifest,
        artifactType: mediaTypes.artifact,
        digest: image.digest,
        size: image.manifestSize,
        annotations: { [annotations.refName]: `${image.workspace}/${image.name}:${String(image.version)}` },
      }));
      const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests };
      await writeFileAtomic(join(this.store.root, 'index.json'), `${JSON.stringify(index, null, 2)}\n`);
    });
  }
}
