import * as z from 'zod';
import { digestSchema, instantSchema, nameSchema, sizeSchema, tagsSchema } from '#shared/protocol/primitives.js';
import { variantSchema } from '#shared/protocol/desired.js';
import { envelopeSchema } from '#shared/protocol/envelope.js';

/** All blobs of the image are uploaded first; the envelope is the publisher's. */
export const imageCreate = z.strictObject({
  digest: digestSchema,
  envelope: envelopeSchema,
  tags: tagsSchema.default({}),
});

export const imageBody = z.object({
  name: nameSchema,
  version: z.int(),
  digest: digestSchema,
  /** `index`: it stands for its variants. */
  flavor: z.enum(['onnx', 'node', 'index']),
  /** Digest of the blob that holds the publisher's envelope. */
  signature: z.object({ digest: digestSchema, size: sizeSchema, keyIds: z.array(z.string()) }),
  layers: z.array(z.object({ mediaType: z.string(), digest: digestSchema, size: sizeSchema, path: z.string() })),
  /** Of an index, in its order: a device runs the first of which it has a provider. */
  variants: z.array(variantSchema).optional(),
  /** Registered models whose files the image carries. */
  models: z.array(z.string()),
  size: sizeSchema,
  tags: tagsSchema,
  createdAt: instantSchema,
});
export type ImageBody = z.infer<typeof imageBody>;
