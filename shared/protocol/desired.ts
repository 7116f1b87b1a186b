/** What a device should run: the payload of the director's envelope on the `desired` channel. */
import * as z from 'zod';
import { counterSchema, digestSchema, instantSchema, nameSchema, schemaVersion, sizeSchema } from './primitives.js';

/** What restarts a module's host process when it ends by itself. */
export const restartPolicySchema = z.strictObject({
  restart: z.enum(['always', 'on-failure', 'never']).default('always'),
  /** Restarts within `windowSeconds` after which the module is left stopped. */
  maxRestarts: z.int().min(0).max(1000).default(20),
  windowSeconds: z.int().min(1).max(86_400).default(600),
});
export type RestartPolicy = z.infer<typeof restartPolicySchema>;

export const settingsSchema = z.record(z.string().max(128), z.json());

/** Everything a device must fetch to verify one image, with the sizes it may refuse beforehand. */
export const imageReferenceSchema = z.strictObject({
  name: nameSchema,
  version: z.int().min(1),
  /** Digest of the OCI manifest. */
  digest: digestSchema,
  /** Size of the manifest. */
  size: sizeSchema,
  /** Digest and size of the publisher's DSSE envelope, a blob beside the image. */
  signature: z.strictObject({ digest: digestSchema, size: sizeSchema }),
});
export type ImageReference = z.infer<typeof imageReferenceSchema>;

export const desiredModuleSchema = z.strictObject({
  image: imageReferenceSchema,
  settings: settingsSchema.default({}),
  policy: restartPolicySchema.prefault({}),
});
export type DesiredModule = z.infer<typeof desiredModuleSchema>;

/** Strict: a device does not half-obey a document that says more than it understands. */
export const desiredSchema = z.strictObject({
  schema: schemaVersion,
  workspace: nameSchema,
  device: nameSchema,
  generation: counterSchema.min(1),
  issuedAt: instantSchema,
  expiresAt: instantSchema,
  /** The release this document comes from, where one does. */
  release: z.string().max(128).optional(),
  modules: z.record(nameSchema, desiredModuleSchema),
  /** Images to fetch and verify without running them. */
  prefetch: z.array(imageReferenceSchema).max(64).default([]),
});
export type Desired = z.infer<typeof desiredSchema>;

/** The whole envelope on the wire. */
export const maxDesiredBytes = 64 * 1024;
