/**
 * How a service host tells numbers of deployments to its control plane: batches as devices send them, asked for over the
 * private socket. What is not acknowledged comes again as it was, under the same boot and sequence; what is counted
 * meanwhile waits for the next.
 */
import * as z from 'zod';
import { counterSchema, nameSchema } from '#shared/protocol/primitives.js';
import { deploymentSourceSchema } from './service-source.js';
import { type TelemetryBatch, telemetryBatchSchema } from '#shared/protocol/stream.js';

/** Up to which batch the store has a stream. */
export const acknowledgedSchema = z.object({
  workspace: nameSchema,
  source: deploymentSourceSchema,
  bootId: counterSchema,
  upTo: counterSchema,
});
export type Acknowledged = z.infer<typeof acknowledgedSchema>;

export const telemetryAskedSchema = z.object({ acknowledged: z.array(acknowledgedSchema).max(100_000) });

export interface ToldBatch {
  readonly workspace: string;
  readonly source: string;
  readonly batch: TelemetryBatch;
}

export const telemetryToldSchema = z.object({
  batches: z.array(z.object({ workspace: nameSchema, source: deploymentSourceSchema, batch: telemetryBatchSchema })),
});

/** Who can be asked. @throws AppError `service.unavailable` */
export interface TelemetryTeller {
  telemetry(acknowledged: readonly Acknowledged[]): Promise<readonly ToldBatch[]>;
}
