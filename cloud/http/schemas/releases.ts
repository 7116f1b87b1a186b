import * as z from 'zod';
import { updatePolicySchema } from '#shared/protocol/desired.js';
import { counterSchema, digestSchema, instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { parseVersionRange } from '#cloud/fleet/version-range.js';
import { moduleDeploy } from './devices.js';

/** What people look for in a release, and is elsewhere. */
const notHere = (what: string): z.ZodOptional<z.ZodNever> => z.never({ error: `${what}; leave it out` }).optional();

export const versionRange = z
  .string()
  .max(64)
  .refine(
    (text) => parseVersionRange(text) !== undefined,
    'is no range of versions; write for example ">=4" or ">=4 <6"',
  );

export const releaseModule = moduleDeploy.extend({
  /** Versions of other modules that it works with, by their name in this release. */
  requires: z
    .record(nameSchema, versionRange)
    .refine((requires) => Object.keys(requires).length <= 64, 'at most 64 modules')
    .default({}),
  /** Modules of this release that answer before it starts; it stops before they do. */
  startAfter: z.array(nameSchema).max(64).default([]),
  variants: notHere('a release names one image a module, which may stand for variants: flotilla image index makes one'),
});

const description = z.string().max(4096);

export const releaseContents = z.strictObject({
  name: nameSchema,
  description: description.default(''),
  /** The modules that change take over together, or none of them does. */
  atomic: z.boolean().default(false),
  /** All that a device is to run: deploying the release takes every other module off. */
  modules: z
    .record(nameSchema, releaseModule)
    .refine((modules) => Object.keys(modules).length > 0, 'name at least one module')
    .refine((modules) => Object.keys(modules).length <= 64, 'at most 64 modules')
    .meta({ minProperties: 1, maxProperties: 64 }),
});
export type ReleaseContents = z.output<typeof releaseContents>;

export const releaseCreate = releaseContents.extend({
  /** Makes no new version where the newest is the same already. */
  unlessSame: z.boolean().default(false),
});

export const releaseModuleBody = releaseModule.omit({ variants: true }).extend({
  image: z.object({ name: nameSchema, version: z.int(), digest: digestSchema }),
  update: updatePolicySchema.omit({ atomic: true }),
});

export const releaseBody = z.object({
  name: nameSchema,
  version: z.int(),
  description,
  atomic: z.boolean(),
  modules: z.record(nameSchema, releaseModuleBody),
  createdAt: instantSchema,
});
export type ReleaseBody = z.output<typeof releaseBody>;

export const releaseCreated = releaseBody.extend({ created: z.boolean() });

/** What deploying a release changes on one device. */
export const releaseChange = z.object({
  module: nameSchema,
  /** Kept ones stay exactly as they are. */
  change: z.enum(['added', 'changed', 'removed', 'kept']),
  /** As name:version. */
  from: z.string().optional(),
  to: z.string().optional(),
});
export type ReleaseChange = z.output<typeof releaseChange>;

export const releaseDeploy = z.strictObject({ release: z.string().min(1).max(128) });
export const releaseChanges = z.object({ device: nameSchema, release: z.string(), changes: z.array(releaseChange) });
export const releaseDeployed = releaseChanges.extend({ generation: counterSchema });
