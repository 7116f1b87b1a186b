/** The documents an image is made of: OCI manifest, chunk map, and the publisher's statement. */
import * as z from 'zod';
import { maxChunkBytes } from '#shared/protocol/blocks.js';
import { digestSchema, nameSchema, sizeSchema } from '#shared/protocol/primitives.js';
import { mediaTypes } from './media-types.js';

export const descriptorSchema = z.object({
  mediaType: z.string().max(256),
  digest: digestSchema,
  size: sizeSchema,
  annotations: z.record(z.string(), z.string()).optional(),
});
export type Descriptor = z.infer<typeof descriptorSchema>;

export const imageManifestSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.literal(mediaTypes.manifest),
  artifactType: z.literal(mediaTypes.artifact),
  config: descriptorSchema,
  layers: z.array(descriptorSchema).min(1).max(256),
  annotations: z.record(z.string(), z.string()).optional(),
});
export type ImageManifest = z.infer<typeof imageManifestSchema>;

/**
 * Every chunk of every layer but the chunk map itself, and of the config, in order. Chunks of one
 * blob are contiguous from 0 to its size. A chunk's index in block requests counts over all blobs.
 */
export const chunkMapSchema = z.object({
  schema: z.literal(1),
  blobs: z
    .array(
      z.object({
        digest: digestSchema,
        size: sizeSchema,
        chunks: z.array(
          z.object({
            length: z.int().min(1).max(maxChunkBytes),
            /** SHA-256 of the chunk, 64 hex digits. */
            sha256: z.string().regex(/^[0-9a-f]{64}$/),
          }),
        ),
      }),
    )
    .max(256),
});
export type ChunkMap = z.infer<typeof chunkMapSchema>;

/** The payload of the publisher's envelope: this name and version is this digest. */
export const imageStatementSchema = z.object({
  schema: z.literal(1),
  /** Digest of the OCI manifest. */
  digest: digestSchema,
  name: nameSchema,
  /** `index`: it is one of variants. */
  flavor: z.enum(['onnx', 'node', 'index']),
});
export type ImageStatement = z.infer<typeof imageStatementSchema>;
