/** What a service host says of itself: what runs, and how it fares. Read by the control plane, kept nowhere. */
import * as z from 'zod';
import { counterSchema, instantSchema, nameSchema, schemaVersion } from '#shared/protocol/primitives.js';
import { sandboxCapabilitiesSchema } from '#shared/protocol/sandbox.js';
import type { DesiredServices } from './desired-services.js';

const problemSchema = z.strictObject({ code: z.string().max(64), message: z.string().max(4_096) });

export const replicaStatusSchema = z.strictObject({
  id: z.string().max(64),
  revision: counterSchema,
  state: z.enum(['starting', 'ready', 'draining', 'down']),
  /** Of its scoring host, or of its container. */
  process: z.string().max(128).optional(),
  /** Resident memory of all its processes, where that can be told. */
  residentBytes: counterSchema.optional(),
  since: instantSchema,
  restarts: counterSchema,
  problem: problemSchema.optional(),
});
export type ReplicaStatus = z.infer<typeof replicaStatusSchema>;

/** Of requests that score, since the service host started; latencies in milliseconds, as seen by the front, of answered requests of the last minute. */
export const deploymentNumbersSchema = z.strictObject({
  requests: counterSchema,
  /** Let in and not answered with success by a replica: 424, 408, 503, on V2 the replica's own status. */
  errors: counterSchema,
  /** Answered with 429. */
  rejected: counterSchema,
  outstanding: counterSchema,
  p50Ms: z.number().nonnegative().optional(),
  p99Ms: z.number().nonnegative().optional(),
});
export type DeploymentNumbers = z.infer<typeof deploymentNumbersSchema>;

export const deploymentStatusSchema = z.strictObject({
  name: nameSchema,
  revision: counterSchema,
  /** `updating`: replicas of an older revision still answer. `failed`: this revision does not start, `problem` says why. */
  state: z.enum(['starting', 'updating', 'healthy', 'unhealthy', 'idle', 'failed']),
  problem: problemSchema.optional(),
  replicas: z.array(replicaStatusSchema),
  wantedReplicas: counterSchema,
  numbers: deploymentNumbersSchema,
});
export type DeploymentStatus = z.infer<typeof deploymentStatusSchema>;

export const servicesStatusSchema = z.strictObject({
  schema: schemaVersion,
  /** Of the document that it works by. */
  generation: counterSchema,
  version: z.string().max(64),
  startedAt: instantSchema,
  /** Where endpoints are reached, such as https://127.0.0.1:8081. */
  url: z.url(),
  /** What bounds of user code that machine can enforce; absent until some was to run. */
  sandbox: sandboxCapabilitiesSchema.optional(),
  endpoints: z.array(z.strictObject({ id: z.string().max(64), deployments: z.array(deploymentStatusSchema) })),
});
export type ServicesStatus = z.infer<typeof servicesStatusSchema>;

/** A service host as the control plane sees it. */
export interface ServiceHostPort {
  /** @throws AppError `service.unavailable` when it cannot be reached; it keeps the newest document it was given */
  apply(desired: DesiredServices): Promise<void>;
  status(): Promise<ServicesStatus>;
  /** Last lines of the replicas of one deployment, oldest first. */
  logs(endpoint: string, deployment: string, lines: number): Promise<string[]>;
}
