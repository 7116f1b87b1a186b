import * as z from 'zod';
import { restartPolicySchema, settingsSchema, updatePolicySchema } from '#shared/protocol/desired.js';
import { counterSchema, digestSchema, instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { routeOverridesSchema } from '#shared/protocol/route.js';
import { queryText } from './common.js';

const description = z.string().max(4096);
const said = {
  /** Key by key, over what is below. */
  settings: settingsSchema.optional(),
  /** By name; null: none of that name. */
  routes: routeOverridesSchema.optional(),
  /** Whole, in the place of what is below. */
  policy: restartPolicySchema.optional(),
  update: updatePolicySchema.omit({ atomic: true }).optional(),
};

/** What a layer says of one module; what it leaves out stays as it is below. */
export const layerModule = z.strictObject({
  /** As `name:version` or manifest digest. Without it, the module must be there for the layer to mean anything. */
  image: z.string().min(1).max(160).optional(),
  ...said,
});

export const layerContents = z.strictObject({
  name: nameSchema,
  description: description.default(''),
  /** The devices that it is for, by name, tags and capabilities. */
  where: queryText.min(1),
  /** The higher covers the lower. */
  priority: z.int().min(0).max(1_000_000),
  /** Devices take it only with a release that is deployed to them. */
  staged: z.boolean().default(false),
  modules: z
    .record(nameSchema, layerModule)
    .refine((modules) => Object.keys(modules).length > 0, 'name at least one module')
    .refine((modules) => Object.keys(modules).length <= 64, 'at most 64 modules')
    .meta({ minProperties: 1, maxProperties: 64 }),
});
export type LayerContents = z.output<typeof layerContents>;

const dryRun = z.boolean().default(false);

export const layerCreate = layerContents.extend({
  dryRun,
  /** One that is there already becomes as this says. */
  replace: z.boolean().default(false),
});

/** What is given changes; modules as a whole. */
export const layerPatch = z.strictObject({
  description: description.optional(),
  where: layerContents.shape.where.optional(),
  priority: layerContents.shape.priority.optional(),
  modules: layerContents.shape.modules.optional(),
  staged: z.boolean().optional(),
  dryRun,
});

export const layerDelete = z.strictObject({
  /** Its devices keep it until a release is deployed to them. */
  staged: z.boolean().default(false),
  dryRun,
});

export const layerModuleBody = z.object({
  image: z.object({ name: nameSchema, version: z.int(), digest: digestSchema }).optional(),
  ...said,
});

export const layerBody = z.object({
  name: nameSchema,
  workspace: nameSchema,
  version: z.int(),
  description,
  where: z.string(),
  priority: z.int(),
  staged: z.boolean(),
  modules: z.record(nameSchema, layerModuleBody),
  createdAt: instantSchema,
  updatedAt: instantSchema,
});
export type LayerBody = z.output<typeof layerBody>;

const fieldChange = z.object({
  module: nameSchema,
  field: z.string(),
  from: z.unknown().optional(),
  to: z.unknown().optional(),
});

export const layerOutcome = z.object({
  layer: layerBody,
  saved: z.boolean(),
  /** It was not so before. */
  changed: z.boolean(),
  /** So many devices change; of a staged one: once a release is deployed to them. */
  devices: z.int(),
  /** What changes on one of them. */
  example: z.object({ device: nameSchema, changes: z.array(fieldChange) }).optional(),
});
export type LayerOutcomeBody = z.output<typeof layerOutcome>;

const saidBody = z.object({
  /** Absent: what lies below all layers. */
  layer: nameSchema.optional(),
  value: z.unknown(),
});

export const desiredExplained = z.object({
  device: nameSchema,
  generation: counterSchema,
  /** The release that lies below, as name:version; absent where it is none. */
  release: z.string().optional(),
  layers: z.array(
    z.object({
      name: nameSchema,
      /** That it has; absent: none yet. */
      version: z.int().optional(),
      /** That a release deployed now would give it; absent: none. */
      newest: z.int().optional(),
      state: z.enum(['in-force', 'outdated', 'waiting', 'leaving']),
    }),
  ),
  modules: z.record(
    nameSchema,
    z.object({
      /** As name:version. */
      image: z.string(),
      fields: z.array(saidBody.extend({ field: z.string(), covered: z.array(saidBody) })),
    }),
  ),
  /** What layers say of modules that nobody puts there. */
  idle: z.array(z.object({ module: nameSchema, layer: nameSchema })),
});
export type DesiredExplained = z.output<typeof desiredExplained>;
