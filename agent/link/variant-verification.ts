/** Whether a variant is what the index that its publisher signed says, and what is said where none runs. Pure. */
import { AppError } from '#shared/kernel/errors.js';
import { readVariantIndex, type VariantIndex } from '#shared/package/variant-index.js';
import type { ImageReference } from '#shared/protocol/desired.js';

/** What the director says of an index counts only as far as its publisher says it. @throws AppError `image.invalid` */
export function requireNamed({ digest, size, name, chosenFrom }: ImageReference, { variants }: VariantIndex): void {
  const named = variants.find((variant) => variant.digest === digest);
  const agrees =
    named?.name === name &&
    named.size === size &&
    named.accelerator === chosenFrom?.accelerator &&
    named.precision === chosenFrom.precision;
  if (agrees) return;
  throw new AppError(
    'image.invalid',
    `the index ${chosenFrom?.name ?? ''} that its publisher signed does not name ${digest} as it was asked for`,
    { details: { digest } },
  );
}

/** @param here providers that run models on this device */
export function nothingRuns(
  { name, version, digest }: ImageReference,
  index: Uint8Array,
  here: readonly string[],
): AppError {
  const needs = readVariantIndex(index, digest).variants.map(
    ({ accelerator, precision, providers }) => `${accelerator}/${precision} needs ${providers.join(' or ')}`,
  );
  return new AppError(
    'module.invalid',
    `no variant of ${name}:${String(version)} runs here, where ${here.join(', ')} works: ${needs.join('; ')}`,
    { details: { digest } },
  );
}
