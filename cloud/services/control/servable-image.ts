/** Whether an image may run as a web service: it is there, whole, and signed by somebody whom devices of its workspace trust. */
import { AppError } from '#shared/kernel/errors.js';
import { formatReference } from '#shared/kernel/names.js';
import { maxSignatureBytes, verifyImageSignature } from '#shared/package/image-signature.js';
import { readTrustPayload } from '#shared/package/trust-acceptance.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { DeploymentRepository } from '#cloud/fleet/deployment-repository.js';
import type { ModuleManifests } from '#cloud/registry/module-manifests.js';
import type { BlobStore } from '#cloud/store/blob-store.js';
import { variantsOf } from '#cloud/store/image-variants.js';
import type { ImageTable } from '#cloud/store/tables.js';
import { TrustChain } from '#cloud/trust/trust-chain.js';

export interface ServableImagesOptions {
  readonly db: Database;
  readonly store: BlobStore;
  readonly manifests: ModuleManifests;
}

export class ServableImages {
  constructor(private readonly options: ServableImagesOptions) {}

  /**
   * @param reference `name:version` or a digest
   * @returns the digest of the image that replicas run: of an index, that of its variant for the cpu
   * @throws AppError `image.not-found`, `image.invalid`, `trust.not-found`, `signature.*`
   */
  async require(workspace: string, reference: string): Promise<string> {
    const named = await new DeploymentRepository(this.options.db).requireImage(workspace, reference);
    const image = named.flavor === 'index' ? await this.variantOf(named) : named;
    await this.requireSigned(image);
    await this.options.manifests.of(image.digest);
    return image.digest;
  }

  private async variantOf(index: ImageTable): Promise<ImageTable> {
    const { db } = this.options;
    const variants = await variantsOf(db, index.workspace, index.digest);
    const chosen = variants.find(({ accelerator }) => accelerator === 'cpu');
    if (chosen) return new DeploymentRepository(db).requireImage(index.workspace, chosen.image.digest);
    const had = variants.map(({ accelerator }) => accelerator).join(', ');
    throw new AppError(
      'image.invalid',
      `${formatReference(index)} has variants for ${had} and none for cpu, which replicas run on: name one of its images`,
    );
  }

  private async requireSigned(image: ImageTable): Promise<void> {
    const { workspace, name, digest, signatureDigest } = image;
    const publishers = await this.publishersOf(workspace);
    const envelope = await this.options.store.readAll(signatureDigest, maxSignatureBytes);
    const verified = verifyImageSignature(envelope, { digest, name }, publishers);
    if (verified.ok) return;
    const { code, message } = verified.error;
    throw new AppError(
      code,
      `${formatReference(image)} is signed by nobody whom workspace ${workspace} trusts (${message}): flotilla trust show names who counts, flotilla image sign adds a signature`,
    );
  }

  private async publishersOf(workspace: string): Promise<readonly string[]> {
    const chain = new TrustChain(this.options.db);
    const newest = await chain.find(workspace, await chain.newest(workspace));
    const document = newest && readTrustPayload(newest);
    if (document?.ok === true) return document.value.publishers;
    throw new AppError(
      'trust.not-found',
      `workspace ${workspace} has no trust document that says whose images may run: flotilla trust propose --publish makes the first`,
    );
  }
}
