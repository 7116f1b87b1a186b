/**
 * An image that stands for several, one for each kind of hardware: an OCI index whose descriptors say on what each runs
 * and in which numbers. Its order is its publisher's preference. The publisher signs its digest as an image's.
 */
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { acceleratorKinds, precisions } from '#shared/protocol/accelerators.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { maxVariants } from '#shared/protocol/desired.js';
import { type Digest, digestSchema, nameSchema, sizeSchema } from '#shared/protocol/primitives.js';
import { maxImageManifestBytes } from './check-image.js';
import { digestOf } from './digest.js';
import { annotations, mediaTypes } from './media-types.js';

export const maxIndexBytes = 64 * 1024;

const providersSchema = z
  .string()
  .max(256)
  .regex(/^[a-z0-9][a-z0-9_-]*(?:,[a-z0-9][a-z0-9_-]*)*$/);

const descriptorSchema = z.object({
  mediaType: z.literal(mediaTypes.manifest),
  digest: digestSchema,
  size: sizeSchema.max(maxImageManifestBytes),
  annotations: z.object({
    [annotations.title]: nameSchema,
    [annotations.accelerator]: z.enum(acceleratorKinds),
    [annotations.precision]: z.enum(precisions),
    [annotations.providers]: providersSchema,
  }),
});

export const variantIndexSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.literal(mediaTypes.index),
  manifests: z.array(descriptorSchema).min(1).max(maxVariants),
  annotations: z.object({ [annotations.title]: nameSchema }),
});

export interface IndexedVariant {
  /** As its publisher signed it. */
  readonly name: string;
  readonly digest: Digest;
  /** Of its manifest. */
  readonly size: number;
  readonly accelerator: (typeof acceleratorKinds)[number];
  readonly precision: (typeof precisions)[number];
  /** Any of these runs it, on hardware of its kind. */
  readonly providers: readonly string[];
}

export interface VariantIndex {
  readonly name: string;
  readonly variants: readonly IndexedVariant[];
}

/**
 * The same variants in the same order are the same bytes. Fields stand in the order in which Go's tools write them, and
 * annotations by name: one that copies an index by writing it anew then keeps its digest.
 */
export function encodeVariantIndex({ name, variants }: VariantIndex): Uint8Array {
  const index: z.input<typeof variantIndexSchema> = {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: variants.map(({ name: title, digest, size, accelerator, precision, providers }) => ({
      ...{ mediaType: mediaTypes.manifest, digest, size },
      annotations: {
        [annotations.accelerator]: accelerator,
        [annotations.precision]: precision,
        [annotations.providers]: providers.join(','),
        [annotations.title]: title,
      },
    })),
    annotations: { [annotations.title]: name },
  };
  return Buffer.from(JSON.stringify(index));
}

/** @throws AppError `blob.digest-mismatch`, `image.invalid` */
export function readVariantIndex(bytes: Uint8Array, expected: Digest): VariantIndex {
  const actual = digestOf(bytes);
  if (actual !== expected) {
    throw new AppError('blob.digest-mismatch', `the index has the digest ${actual}, not ${expected}`);
  }
  const decoded = decodeMessage(variantIndexSchema, bytes, maxIndexBytes);
  if (!decoded.ok) throw new AppError('image.invalid', `the index of variants is malformed: ${decoded.error.message}`);
  const { manifests, annotations: own } = decoded.value;
  const digests = manifests.map(({ digest }) => digest);
  const twice = digests.find((digest, place) => digests.indexOf(digest) !== place);
  if (twice !== undefined) throw new AppError('image.invalid', `the index names ${twice} twice`);
  return {
    name: own[annotations.title],
    variants: manifests.map(({ digest, size, annotations: said }) => ({
      ...{ name: said[annotations.title], digest, size },
      ...{ accelerator: said[annotations.accelerator], precision: said[annotations.precision] },
      providers: said[annotations.providers].split(','),
    })),
  };
}

const mediaTypeSchema = z.object({ mediaType: z.string().max(256) });

/** By what they say of themselves; whether they are a good one is another question. */
export function isVariantIndex(bytes: Uint8Array): boolean {
  const decoded = decodeMessage(mediaTypeSchema, bytes, maxImageManifestBytes);
  return decoded.ok && decoded.value.mediaType === mediaTypes.index;
}
