/** Which image of several a device runs: the first in the publisher's order that its hardware can. Pure. */
import type { Desired, DesiredModule, ImageReference, Variant } from '#shared/protocol/desired.js';

/**
 * The document as this device follows it: where there are variants, the chosen one in the place of the index.
 * Where none runs here the index stays, and whoever fetches it says so.
 *
 * @param accelerators providers that were seen to work
 */
export function chooseVariants(desired: Desired, accelerators: readonly string[]): Desired {
  const modules = Object.entries(desired.modules).map(([name, module]) => [name, chosen(module, accelerators)]);
  const prefetch = desired.prefetch.map(
    ({ variants = [], ...index }) => chosenOf(index, variants, accelerators) ?? index,
  );
  return { ...desired, modules: Object.fromEntries(modules) as Desired['modules'], prefetch };
}

export function hasVariants({ modules, prefetch }: Desired): boolean {
  return [...Object.values(modules), ...prefetch].some(({ variants = [] }) => variants.length > 0);
}

function chosen(module: DesiredModule, accelerators: readonly string[]): DesiredModule {
  const image = chosenOf(module.image, module.variants ?? [], accelerators);
  return image === undefined ? module : { ...module, image };
}

function chosenOf(
  index: ImageReference,
  variants: readonly Variant[],
  accelerators: readonly string[],
): ImageReference | undefined {
  const runs = (variant: Variant): string | undefined => variant.providers.find((one) => accelerators.includes(one));
  const place = variants.findIndex((variant) => runs(variant) !== undefined);
  const variant = variants[place];
  if (variant === undefined) return undefined;
  const { accelerator, precision } = variant;
  const passedOver = variants.slice(0, place).map((one) => `${nameOf(one)} needs ${one.providers.join(' or ')}`);
  const because = [`${nameOf(variant)} runs on ${runs(variant) ?? ''}`, ...passedOver].join('; ').slice(0, 512);
  const { name, digest, size, signature } = index;
  return {
    ...variant.image,
    // Devices of one fleet run one version, whatever they picked.
    version: index.version,
    chosenFrom: { name, digest, size, signature, accelerator, precision, because },
  };
}

function nameOf({ accelerator, precision }: Variant): string {
  return `${accelerator}/${precision}`;
}
