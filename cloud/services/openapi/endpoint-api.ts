/** Finds what an endpoint's document tells: which deployment speaks for it, and what its model takes and gives. */
import { AppError } from '#shared/kernel/errors.js';
import { checkManifest, filepathOf, maxImageManifestBytes } from '#shared/package/check-image.js';
import { readOnnx, type TensorDescription } from '#shared/package/onnx/read-onnx.js';
import type { Digest } from '#shared/protocol/primitives.js';
import { datatypes, type TensorSignature } from '#shared/scoring/codec/tensor.js';
import type { Described } from '#shared/scoring/host/faces/openapi/model-schemas.js';
import { readModule } from '#cloud/registry/image-closure.js';
import type { BlobStore } from '#cloud/store/blob-store.js';
import type { Endpoint, ServiceDeployment } from '../control/endpoint-model.js';
import { requireDeployment } from '../control/traffic.js';

/**
 * The one that is named, or the one with most traffic; of equals, and without any traffic, the first by name.
 *
 * @throws AppError `deployment.not-found`
 */
export function speaksFor(
  { name, traffic }: Endpoint,
  deployments: readonly ServiceDeployment[],
  wanted: string | undefined,
): ServiceDeployment {
  const names = deployments.map((one) => one.name);
  if (wanted !== undefined) requireDeployment(name, wanted, names);
  const share = (one: ServiceDeployment): number => traffic[one.name] ?? 0;
  const [first] = deployments
    .filter((one) => wanted === undefined || one.name === wanted)
    .sort((a, b) => share(b) - share(a) || (a.name < b.name ? -1 : 1));
  if (first) return first;
  throw new AppError(
    'deployment.not-found',
    `${name} has no deployment that could answer: flotilla deployment create blue --endpoint ${name} --image <name:version>`,
  );
}

/** @returns `script` for what runs a script, and for tensors that the protocol has no form for. @throws AppError `blob.not-found`, `image.invalid` */
export async function describeImage(store: BlobStore, image: Digest): Promise<Described> {
  const { layers } = checkManifest(await store.readAll(image, maxImageManifestBytes), image);
  const { flavor, models } = await readModule(store, layers);
  if (flavor !== 'onnx') return 'script';
  const layer = layers.find((one) => filepathOf(one) === models[0]?.file);
  if (!layer) throw new AppError('image.invalid', `the image ${image} lacks the model that its module names`);
  if (!(await store.has(layer.digest))) {
    throw new AppError('blob.not-found', `the model ${layer.digest} of the image ${image} is not stored here`);
  }
  const { signature } = await readOnnx(store.pathOf(layer.digest));
  const inputs = signature.inputs.flatMap(asServed);
  const outputs = signature.outputs.flatMap(asServed);
  const whole = inputs.length === signature.inputs.length && outputs.length === signature.outputs.length;
  return whole ? { inputs, outputs } : 'script';
}

/** None of what the protocol has no form for. */
function asServed({ name, datatype, shape }: TensorDescription): TensorSignature[] {
  const known = datatypes.find((one) => one === datatype);
  if (known === undefined || shape.includes('...')) return [];
  return [{ name, datatype: known, shape: shape.map((size) => (size === -1 ? '' : size)) }];
}
