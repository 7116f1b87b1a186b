/** What a device should run: the payload of the director's envelope on the `desired` channel. */
import * as z from 'zod';
import { acceleratorKinds, precisions } from './accelerators.js';
import { collectRuleSchema } from './collect.js';
import { windowsSchema } from './maintenance-window.js';
import { counterSchema, digestSchema, instantSchema, nameSchema, schemaVersion, sizeSchema } from './primitives.js';
import { routeOverridesSchema } from './route.js';
import { shadowRuleSchema } from './shadow.js';

/** What restarts a module's host process when it ends by itself. */
export const restartPolicySchema = z.strictObject({
  restart: z.enum(['always', 'on-failure', 'never']).default('always'),
  /** Restarts within `windowSeconds` after which the module is left stopped. */
  maxRestarts: z.int().min(0).max(1000).default(20),
  windowSeconds: z.int().min(1).max(86_400).default(600),
});
export type RestartPolicy = z.infer<typeof restartPolicySchema>;

/**
 * How a version that has just taken over is watched while the one before it stays loaded. Measured is
 * what it does with live requests, beside what the incumbent did before.
 */
export const probationSchema = z.strictObject({
  /** 0: it is not watched. */
  windowSeconds: z.int().min(0).max(86_400).default(10),
  /** Of the new version, before its errors or its latency say anything. */
  minRequests: z.int().min(1).max(1_000_000).default(50),
  /** How long to wait for that many; then what nothing spoke against is kept. Never less than the window. */
  maxSeconds: z.int().min(0).max(604_800).default(0),
  /** Share of requests that may fail beyond the incumbent's own share. */
  maxErrorRate: z.number().min(0).max(1).default(0.05),
  /** 99th percentile of latency, beside the incumbent's. */
  maxP99Ratio: z.number().min(1).max(1000).default(3),
  /** Resident memory of its processes, beside the incumbent's. */
  maxMemoryRatio: z.number().min(1).max(1000).default(2),
});
export type Probation = z.infer<typeof probationSchema>;

/** How a new version takes over from the one that answers. */
export const updatePolicySchema = z.strictObject({
  /** Absent: it is not watched. */
  probation: probationSchema.optional(),
  /** Versions before the one that answers that stay on disk, for a return without network. */
  keepVersions: z.int().min(0).max(10).default(2),
  /** How long the module may put off its replacement by saying that it is busy. */
  maxDeferSeconds: z.int().min(0).max(604_800).default(3600),
  /** Modules with the same word here take over together, or none of them does. */
  atomic: nameSchema.optional(),
  /** When it may take over; fetched, verified and proved it is before. Absent: at any time. */
  windows: windowsSchema.optional(),
});
export type UpdatePolicy = z.infer<typeof updatePolicySchema>;

export const settingsSchema = z.record(z.string().max(128), z.json());

/** Everything a device must fetch to verify one image, with the sizes it may refuse beforehand. */
const signedImage = {
  name: nameSchema,
  /** Digest of the OCI manifest, or of the index. */
  digest: digestSchema,
  /** Size of the manifest. */
  size: sizeSchema,
  /** Digest and size of the publisher's DSSE envelope, a blob beside the image. */
  signature: z.strictObject({ digest: digestSchema, size: sizeSchema }),
};
const hardware = { accelerator: z.enum(acceleratorKinds), precision: z.enum(precisions) };

export const imageReferenceSchema = z.strictObject({
  ...signedImage,
  version: z.int().min(1),
  /** The index that a device chose it from, which must name it; devices say it to themselves. */
  chosenFrom: z.strictObject({ ...signedImage, ...hardware, because: z.string().max(512) }).optional(),
});
export type ImageReference = z.infer<typeof imageReferenceSchema>;

export const maxVariants = 16;

/** One of the images that an index stands for. */
export const variantSchema = z.strictObject({
  image: imageReferenceSchema.omit({ chosenFrom: true }),
  ...hardware,
  /** Any of these runs it. */
  providers: z.array(z.string().min(1).max(32)).min(1).max(8),
});
export type Variant = z.infer<typeof variantSchema>;
const variantsSchema = z.array(variantSchema).min(1).max(maxVariants);

/**
 * A version beside the module's own, in processes of its own, that answers nobody. For devices only whose
 * `capabilities.features` name `shadow`: others refuse a document that has one.
 */
export const desiredShadowSchema = shadowRuleSchema.extend({
  image: imageReferenceSchema,
  settings: settingsSchema.default({}),
});
export type DesiredShadow = z.infer<typeof desiredShadowSchema>;

export const desiredModuleSchema = z.strictObject({
  image: imageReferenceSchema,
  /** Where `image` is an index: the images that it stands for, in its order, of which the device runs the first it can. */
  variants: variantsSchema.optional(),
  settings: settingsSchema.default({}),
  policy: restartPolicySchema.prefault({}),
  update: updatePolicySchema.optional(),
  /** Routes that take the place of those of the image, by name; null: none of that name. */
  routes: routeOverridesSchema.optional(),
  /** Modules of this document that answer before it starts; it stops before they do. */
  startAfter: z.array(nameSchema).max(64).optional(),
  shadow: desiredShadowSchema.optional(),
  /**
   * A sample of requests and answers for the workspace's storage; absent: nothing leaves the device. For devices only
   * whose `capabilities.features` name `collect`.
   */
  collect: collectRuleSchema.optional(),
});
export type DesiredModule = z.infer<typeof desiredModuleSchema>;

const usualUpdate: UpdatePolicy = updatePolicySchema.parse({});

export function updatePolicyOf(module: Pick<DesiredModule, 'update'> | undefined): UpdatePolicy {
  return module?.update ?? usualUpdate;
}

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
  /** Images to fetch and verify without running them; of an index, the variant that the device would run. */
  prefetch: z
    .array(imageReferenceSchema.extend({ variants: variantsSchema.optional() }))
    .max(64)
    .default([]),
});
export type Desired = z.infer<typeof desiredSchema>;

/** The whole envelope on the wire. */
export const maxDesiredBytes = 64 * 1024;
