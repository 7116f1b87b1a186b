import * as z from 'zod';
import { probationSchema, restartPolicySchema, settingsSchema, updatePolicySchema } from '#shared/protocol/desired.js';
import { publicKeySchema } from '#shared/protocol/enrolment.js';
import { counterSchema, digestSchema, instantSchema, nameSchema, tagsSchema } from '#shared/protocol/primitives.js';
import { routeOverridesSchema } from '#shared/protocol/route.js';
import { reportedStateSchema } from '#shared/protocol/reported.js';
import { collectRuleSchema } from '#shared/protocol/collect.js';
import { shadowRuleSchema } from '#shared/protocol/shadow.js';
import { operationNames } from '#shared/protocol/commands.js';
import { allowTagsSchema } from './device-identity.js';

export const enrolmentTokenCreate = z.strictObject({
  ttlSeconds: z
    .int()
    .min(10)
    .max(30 * 86_400)
    .default(3600),
  /** Tags that the device gets. */
  tags: tagsSchema.default({}),
  allowTags: allowTagsSchema,
  /** The only name that may enrol with it. */
  device: nameSchema.optional(),
});

/** Everything of an enrolment token but the publishers' keys, which the caller's own machine adds. */
export const enrolmentTokenBody = z.object({
  url: z.url(),
  workspace: nameSchema,
  secret: z.string(),
  authority: z.string(),
  director: publicKeySchema,
  expiresAt: instantSchema,
});

export const desiredModuleBody = z.object({
  name: nameSchema,
  version: z.int(),
  digest: digestSchema,
  settings: settingsSchema,
  /** What gets copies of its requests beside it. */
  shadow: shadowRuleSchema.extend({ name: nameSchema, version: z.int(), digest: digestSchema }).optional(),
  /** What of it leaves the device; absent: nothing. */
  collect: collectRuleSchema.optional(),
});
export type DesiredBody = z.infer<typeof desiredModuleBody>;

export const deviceBody = z.object({
  name: nameSchema,
  workspace: nameSchema,
  tags: tagsSchema,
  enrolledAt: instantSchema,
  retiredAt: instantSchema.optional(),
  online: z.boolean(),
  lastSeenAt: instantSchema.optional(),
  desired: z.object({
    generation: counterSchema,
    /** As name:version, where the modules are those of a release and nothing else. */
    release: z.string().optional(),
    modules: z.record(nameSchema, desiredModuleBody),
  }),
  reported: reportedStateSchema,
  reportedAt: instantSchema.optional(),
});
export type DeviceBody = z.infer<typeof deviceBody>;

export const devicePatch = z.strictObject({ tags: z.record(z.string(), z.string().max(256).nullable()) });

/** PUT …/devices/{device}/modules/{module}: the module runs this image from the next generation on. */
export const moduleDeploy = z.strictObject({
  /** Image as `name:version` or manifest digest. */
  image: z.string().min(1).max(160),
  settings: settingsSchema.default({}),
  policy: restartPolicySchema.prefault({}),
  /** How it takes over from the version before. */
  update: updatePolicySchema
    .omit({ atomic: true })
    .extend({ probation: probationSchema.prefault({}) })
    .prefault({}),
  /** What takes the place of routes of the image, by name; null: none of that name. */
  routes: routeOverridesSchema.optional(),
});

/** PUT …/devices/{device}/modules/{module}/shadow: copies of what the module is asked go to this image too. */
export const shadowDeploy = shadowRuleSchema.extend({
  /** Image as `name:version` or manifest digest. */
  image: z.string().min(1).max(160),
  settings: settingsSchema.default({}),
});

/** POST …/devices/{device}/modules: several modules from one generation on. */
export const modulesDeploy = z.strictObject({
  modules: z
    .record(nameSchema, moduleDeploy)
    .refine((modules) => Object.keys(modules).length > 0, 'name at least one module')
    .refine((modules) => Object.keys(modules).length <= 64, 'at most 64 modules'),
  /** They take over together, or none of them does. */
  atomic: z.boolean().default(false),
});
export const generationBody = z.object({ device: nameSchema, generation: counterSchema });

export const commandCreate = z.strictObject({
  operation: z.enum(operationNames as [string, ...string[]]),
  arguments: z.record(z.string(), z.unknown()).default({}),
  timeoutSeconds: z.int().min(1).max(120).default(15),
});
export const commandBody = z.object({ id: z.string(), result: z.json() });

export const eventBody = z.object({
  device: nameSchema,
  at: instantSchema,
  receivedAt: instantSchema,
  level: z.string(),
  type: z.string(),
  module: z.string().optional(),
  message: z.string(),
});
