/**
 * What a service host should run: every endpoint of this control plane, whole, in one document. The control plane writes
 * it, the service host keeps it and goes on by it when the control plane is away (decision 0038).
 */
import * as z from 'zod';
import { counterSchema, instantSchema, nameSchema, schemaVersion } from '#shared/protocol/primitives.js';
import { collectRuleSchema } from '#shared/protocol/collect.js';
import { comparisonSchema } from '#shared/protocol/comparison.js';
import { imageReferenceSchema, settingsSchema } from '#shared/protocol/desired.js';

/** As many as an endpoint of Azure has. */
export const maxDeployments = 20;

/** Who may call an endpoint. Keys are known here by their SHA-256 alone. */
export const endpointAuthSchema = z.discriminatedUnion('mode', [
  z.strictObject({
    mode: z.literal('key'),
    keyDigests: z
      .array(z.string().regex(/^[0-9a-f]{64}$/))
      .min(1)
      .max(2),
  }),
  /** Tokens signed by the control plane: `aud` is the endpoint's id. */
  z.strictObject({ mode: z.literal('token'), issuer: z.string(), publicKeys: z.array(z.json()).min(1).max(4) }),
  z.strictObject({ mode: z.literal('none') }),
]);
export type EndpointAuth = z.infer<typeof endpointAuthSchema>;

/** Azure's `request_settings`, with its defaults. */
export const requestSettingsSchema = z.strictObject({
  timeoutMs: z.int().min(1).max(180_000).default(5_000),
  /** Under way in one replica at once; as many again may wait for it. More: 429. */
  maxConcurrentPerReplica: z.int().min(1).max(10_000).default(1),
});
export type RequestSettings = z.infer<typeof requestSettingsSchema>;

/** Azure's probe settings, with its defaults. */
export const probeSchema = z.strictObject({
  initialDelaySeconds: z.int().min(0).max(3_600).default(10),
  periodSeconds: z.int().min(1).max(3_600).default(10),
  timeoutSeconds: z.int().min(1).max(300).default(2),
  successThreshold: z.int().min(1).max(100).default(1),
  failureThreshold: z.int().min(1).max(1_000).default(30),
});
export type Probe = z.infer<typeof probeSchema>;

/** How many replicas: a number, or as many as the load asks for between two. */
export const scaleSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('fixed'), replicas: z.int().min(0).max(100) }),
  z.strictObject({
    kind: z.literal('auto'),
    /** 0: none while nobody asks; the first request then waits for one. */
    min: z.int().min(0).max(100),
    max: z.int().min(1).max(100),
    /** Outstanding requests a replica is to have, on average. */
    targetOutstanding: z.number().min(0.1).max(10_000).default(2),
    /** One replica more while the 99th percentile is above. */
    maxP99Ms: z.number().min(1).max(180_000).optional(),
    coolDownSeconds: z.int().min(1).max(86_400).default(300),
    /** How long the first request of an endpoint at zero may wait. */
    firstRequestWaitMs: z.int().min(1).max(180_000).default(30_000),
  }),
]);
export type Scale = z.infer<typeof scaleSchema>;

export const desiredDeploymentSchema = z.strictObject({
  name: nameSchema,
  /** Rises with each change that needs other replicas; a replica of another revision is replaced, not changed. */
  revision: counterSchema.min(1),
  image: imageReferenceSchema,
  settings: settingsSchema.default({}),
  scale: scaleSchema,
  request: requestSettingsSchema.prefault({}),
  liveness: probeSchema.prefault({}),
  readiness: probeSchema.prefault({}),
  /** A sample of requests and answers for the workspace's storage; absent: none. */
  collect: collectRuleSchema.optional(),
});
export type DesiredDeployment = z.infer<typeof desiredDeploymentSchema>;

const weight = z.int().min(0).max(100);

export const desiredEndpointSchema = z.strictObject({
  /** Never used again, unlike the name. */
  id: z.string().min(1).max(64),
  workspace: nameSchema,
  name: nameSchema,
  auth: endpointAuthSchema,
  deployments: z.array(desiredDeploymentSchema).max(maxDeployments),
  /** Percent by deployment; they add up to 100, or to 0: then only requests that name a deployment are answered. */
  traffic: z.record(nameSchema, weight).default({}),
  /** Percent of live requests copied to one deployment that has no live traffic; at most 50. */
  mirror: z
    .strictObject({
      deployment: nameSchema,
      percent: z.int().min(1).max(50),
      /** When an answer counts as that of the live deployment; absent: within the usual tolerance. */
      compare: comparisonSchema.optional(),
    })
    .optional(),
});
export type DesiredEndpoint = z.infer<typeof desiredEndpointSchema>;

export const desiredServicesSchema = z.strictObject({
  schema: schemaVersion,
  /** Of the whole document; a service host takes none that is older than the one it has. */
  generation: counterSchema.min(1),
  issuedAt: instantSchema,
  endpoints: z.array(desiredEndpointSchema).max(1_000),
});
export type DesiredServices = z.infer<typeof desiredServicesSchema>;
