/** Which digests a reference stands for: an image and, of an index, its variants; or all images that carry a model. */
import { AppError } from '#shared/kernel/errors.js';
import { parseReference } from '#shared/kernel/names.js';
import { digestSchema } from '#shared/protocol/primitives.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { DeploymentRepository } from '#cloud/fleet/deployment-repository.js';
import { variantsOf } from '#cloud/store/image-variants.js';
import { imagesCarrying } from '#cloud/store/model-repository.js';

/**
 * @param reference `name:version` of an image, or else of a model; or the digest of an image, also of one that is gone
 * @throws AppError `image.not-found`
 */
export async function comparedDigests(db: Database, workspace: string, reference: string): Promise<string[]> {
  const image = await new DeploymentRepository(db).findImage(workspace, reference);
  if (image) {
    const variants = await variantsOf(db, workspace, image.digest);
    return [image.digest, ...variants.map((variant) => variant.image.digest)];
  }
  if (digestSchema.safeParse(reference).success) return [reference];
  const named = parseReference(reference);
  const carrying = named ? await imagesCarrying(db, workspace, named) : [];
  if (carrying.length > 0) return carrying;
  throw new AppError(
    'image.not-found',
    `workspace ${workspace} has no image ${reference}, and no image that carries a model ${reference}: flotilla image list shows what there is`,
  );
}
