import * as z from 'zod';
import { digestSchema, instantSchema, nameSchema, sizeSchema, tagsSchema } from '#shared/protocol/primitives.js';
import { relativePathSchema } from '#shared/protocol/primitives.js';

/** A tensor of a model's signature. A free dimension is its name, or -1 when it has none. */
export const tensorBody = z.object({
  name: z.string(),
  /** Open Inference Protocol datatype, for example FP32; or sequence(…)/map(…) as the graph says. */
  datatype: z.string(),
  shape: z.array(z.union([z.int(), z.string()])),
});

export const signatureBody = z.object({
  inputs: z.array(tensorBody),
  outputs: z.array(tensorBody),
  opsets: z.record(z.string(), z.int()),
  irVersion: z.int(),
  producer: z.string(),
  description: z.string(),
  metadata: z.record(z.string(), z.string()),
});
export type SignatureBody = z.infer<typeof signatureBody>;

export const modelFileBody = z.object({ path: relativePathSchema, digest: digestSchema, size: sizeSchema });

/** Files are uploaded as blobs first. The first file is the ONNX graph, others its external data. */
export const modelCreate = z.strictObject({
  name: nameSchema,
  description: z.string().max(4096).default(''),
  tags: tagsSchema.default({}),
  /** Immutable, unlike tags. */
  properties: tagsSchema.default({}),
  files: z
    .array(z.strictObject({ path: relativePathSchema, digest: digestSchema }))
    .min(1)
    .max(256),
});

export const modelBody = z.object({
  name: nameSchema,
  version: z.int(),
  description: z.string(),
  tags: tagsSchema,
  properties: tagsSchema,
  files: z.array(modelFileBody),
  signature: signatureBody,
  size: sizeSchema,
  createdAt: instantSchema,
});
export type ModelBody = z.infer<typeof modelBody>;

/** A tag set to null is removed. */
export const modelPatch = z.strictObject({
  description: z.string().max(4096).optional(),
  tags: z.record(z.string(), z.string().max(256).nullable()).optional(),
});
