/** Deployments of both kinds, as one list tells of them. */
import * as z from 'zod';
import { settingsSchema } from '#shared/protocol/desired.js';
import { counterSchema, digestSchema, instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { pageQuery } from './common.js';

export const deploymentKind = z.enum(['iot-module', 'web-service']);

export const placedDeploymentQuery = pageQuery.extend({
  kind: deploymentKind.optional(),
  /** As name:version, or a digest. */
  image: z.string().min(1).max(256).optional(),
});

const placed = {
  id: z.string(),
  image: z.object({ name: nameSchema, version: z.int(), digest: digestSchema }),
  settings: settingsSchema,
  /** The first that carries it: of the device, or of the document of all web services. */
  generation: counterSchema,
  createdAt: instantSchema,
};

export const placedDeploymentBody = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('iot-module'), device: nameSchema, module: nameSchema, ...placed }),
  z.object({
    kind: z.literal('web-service'),
    endpoint: nameSchema,
    name: nameSchema,
    revision: counterSchema,
    ...placed,
  }),
]);
export type PlacedDeploymentBody = z.infer<typeof placedDeploymentBody>;
