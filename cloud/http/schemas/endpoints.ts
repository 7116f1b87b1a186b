import * as z from 'zod';
import { collectRuleSchema } from '#shared/protocol/collect.js';
import { sandboxCapabilitiesSchema } from '#shared/protocol/sandbox.js';
import { comparisonSchema } from '#shared/protocol/comparison.js';
import { settingsSchema } from '#shared/protocol/desired.js';
import {
  counterSchema,
  digestSchema,
  instantSchema,
  nameSchema,
  problemSchema,
  tagsSchema,
} from '#shared/protocol/primitives.js';
import { keySlots } from '#cloud/services/control/endpoint-model.js';
import { probeSchema, requestSettingsSchema, scaleSchema } from '#cloud/services/desired-services.js';
import { deploymentStatusSchema } from '#cloud/services/services-status.js';

const description = z.string().max(4096);
const authMode = z.enum(['key', 'token', 'none']);
const percent = z.int().min(0).max(100);
/** `name:version`, or the digest sha256:… */
const imageText = z.string().max(160);
const mirror = z.strictObject({
  deployment: nameSchema,
  percent: z.int().min(1).max(50),
  /** When an answer of it counts as the live one's: within a tolerance, unless it is given. */
  compare: comparisonSchema.optional(),
});

export const endpointBody = z.object({
  /** Never given again, unlike the name; the audience of its tokens. */
  id: z.string(),
  name: nameSchema,
  workspace: nameSchema,
  auth: authMode,
  /** Percent by deployment; those that it leaves out get none. */
  traffic: z.record(nameSchema, percent),
  mirror: mirror.optional(),
  description,
  tags: tagsSchema,
  /** Of the document that the service host works by, at the last change. */
  generation: counterSchema,
  createdAt: instantSchema,
  updatedAt: instantSchema,
});
export type EndpointBody = z.infer<typeof endpointBody>;

export const endpointCreate = z.strictObject({
  name: nameSchema,
  auth: authMode.default('key'),
  description: description.default(''),
  tags: tagsSchema.default({}),
});

export const endpointPatch = z
  .strictObject({ auth: authMode.optional(), description: description.optional(), tags: tagsSchema.optional() })
  .refine((change) => Object.values(change).some((value) => value !== undefined), 'give auth, description or tags');

export const endpointDeleteQuery = z.object({ force: z.stringbool().default(false) });

export const trafficChange = z
  .strictObject({
    /** The weights of all: they add up to 100, or to 0. */
    traffic: z.record(nameSchema, percent).optional(),
    /** null: none any more. */
    mirror: mirror.nullable().optional(),
  })
  .refine((change) => change.traffic !== undefined || change.mirror !== undefined, 'give traffic or mirror');

export const endpointKeysBody = z.object({ primary: z.string(), secondary: z.string() });
export const keyRegenerate = z.strictObject({ slot: z.enum(keySlots) });

export const endpointTokenCreate = z.strictObject({
  ttlSeconds: z.int().min(60).max(86_400).default(3_600),
});
export const endpointTokenBody = z.object({ token: z.string(), expiresAt: instantSchema });

export const endpointStatusBody = z.object({
  /** Absent while the service host cannot be asked, and before there is one. */
  url: z.url().optional(),
  scoreUrl: z.url().optional(),
  /** Of the document that says what is asked for. */
  generation: counterSchema,
  /** Of the one that the service host works by. */
  served: counterSchema.optional(),
  /** Why it cannot be asked. */
  problem: problemSchema.optional(),
  /** What bounds of user code can be enforced where replicas run; absent until some was to run. */
  sandbox: sandboxCapabilitiesSchema.optional(),
  deployments: z.array(deploymentStatusSchema),
});
export type EndpointStatusBody = z.infer<typeof endpointStatusBody>;

const serviceShape = {
  scale: scaleSchema.optional(),
  request: requestSettingsSchema.optional(),
  liveness: probeSchema.optional(),
  readiness: probeSchema.optional(),
  /** A sample of requests and answers for the workspace's storage; null: none. */
  collect: collectRuleSchema.nullable().optional(),
  description: description.optional(),
  tags: tagsSchema.optional(),
};

/** An image, or the module of a release: then its image, and its settings beneath those that are given. */
const whatRuns = {
  image: imageText.optional(),
  /** As name:version. */
  release: z.string().min(1).max(128).optional(),
  /** Needed where the release has several. */
  module: nameSchema.optional(),
};
export type WhatRuns = { readonly [Field in keyof typeof whatRuns]?: string | undefined };

const isOneThing = ({ image, release, module }: WhatRuns): boolean =>
  (image === undefined || release === undefined) && (module === undefined || release !== undefined);
const oneThing = 'give an image, or a release and its module';

export const deploymentCreate = z
  .strictObject({ name: nameSchema, ...whatRuns, settings: settingsSchema.default({}), ...serviceShape })
  .refine((wish) => isOneThing(wish) && (wish.image ?? wish.release) !== undefined, oneThing);

export const deploymentPatch = z
  .strictObject({ ...whatRuns, settings: settingsSchema.optional(), ...serviceShape })
  .refine((change) => Object.values(change).some((value) => value !== undefined), 'nothing to change')
  .refine(isOneThing, oneThing);

export const deploymentBody = z.object({
  /** Never given again. */
  id: z.string(),
  name: nameSchema,
  image: z.object({ name: nameSchema, version: z.int(), digest: digestSchema }),
  settings: settingsSchema,
  /** Of the document that the service host works by, at the last change. */
  generation: counterSchema,
  createdAt: instantSchema,
  kind: z.literal('web-service'),
  endpoint: nameSchema,
  /** Rises with each change that needs other replicas. */
  revision: counterSchema,
  scale: scaleSchema,
  request: requestSettingsSchema,
  liveness: probeSchema,
  readiness: probeSchema,
  /** null: nothing is collected. */
  collect: collectRuleSchema.nullable().default(null),
  description,
  tags: tagsSchema,
  /** Percent of the requests that it answers. */
  traffic: percent,
  /** Percent of the requests of which it gets copies. */
  mirror: percent,
});
export type DeploymentBody = z.infer<typeof deploymentBody>;

export const logsQuery = z.object({ lines: z.coerce.number().int().min(1).max(1_000).default(100) });
export const logsBody = z.object({ lines: z.array(z.string()) });
