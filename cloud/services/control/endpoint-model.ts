/** Endpoints and what runs behind them, as the control plane keeps them. */
import * as z from 'zod';
import type { Comparison } from '#shared/protocol/comparison.js';
import type { Tags } from '#shared/protocol/primitives.js';
import { tagsSchema } from '#shared/protocol/primitives.js';
import { collectRuleSchema } from '#shared/protocol/collect.js';
import type { ImageReference, settingsSchema } from '#shared/protocol/desired.js';
import { probeSchema, requestSettingsSchema, scaleSchema } from '../desired-services.js';

export type AuthMode = 'key' | 'token' | 'none';
export const keySlots = ['primary', 'secondary'] as const;
export type KeySlot = (typeof keySlots)[number];

/** Percent by deployment, without those that get none. */
export type Traffic = Readonly<Record<string, number>>;

export interface Mirror {
  readonly deployment: string;
  readonly percent: number;
  /** When an answer of it counts as the live one's; absent: within the usual tolerance. */
  readonly compare?: Comparison | undefined;
}

export interface Endpoint {
  readonly id: string;
  readonly workspace: string;
  readonly name: string;
  readonly auth: AuthMode;
  /** Which key of each slot counts; earlier ones no longer do. */
  readonly keyVersions: Readonly<Record<KeySlot, number>>;
  readonly traffic: Traffic;
  readonly mirror: Mirror | undefined;
  readonly description: string;
  readonly tags: Tags;
  /** Of the services' document, at its last change. */
  readonly generation: number;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly updatedAt: string;
}

/** Of a deployment, beside its image and settings: what changes without another replica. */
export const serviceSettingsSchema = z.strictObject({
  scale: scaleSchema,
  request: requestSettingsSchema.prefault({}),
  liveness: probeSchema.prefault({}),
  readiness: probeSchema.prefault({}),
  /** null: nothing is collected. */
  collect: collectRuleSchema.nullable().default(null),
  description: z.string().max(4096).default(''),
  tags: tagsSchema.default({}),
});
export type ServiceSettings = z.infer<typeof serviceSettingsSchema>;

export interface ServiceDeployment {
  /** Of this revision. */
  readonly id: string;
  /** The endpoint's id. */
  readonly endpoint: string;
  readonly name: string;
  readonly revision: number;
  readonly image: ImageReference;
  readonly settings: z.infer<typeof settingsSchema>;
  readonly service: ServiceSettings;
  /** Of the services' document, at the last change. */
  readonly generation: number;
  readonly createdAt: string;
}

/** What a change says anew; the rest stays. */
export interface DeploymentChange {
  readonly image?: string | undefined;
  readonly settings?: ServiceDeployment['settings'] | undefined;
  readonly service?: Partial<ServiceSettings> | undefined;
}

export function mostReplicas({ scale }: ServiceSettings): number {
  return scale.kind === 'fixed' ? scale.replicas : scale.max;
}
