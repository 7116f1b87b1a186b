import * as z from 'zod';
import { digestSchema, instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { queryText } from './common.js';

const maxSinceSeconds = 366 * 86_400;
/** Given several times in a query. */
const names = z
  .union([nameSchema, z.array(nameSchema).max(100)])
  .transform((given) => (typeof given === 'string' ? [given] : given));

export const compareQuery = z
  .object({
    image: z.string().min(1).max(160).describe('name:version or digest of an image, or name:version of a model'),
    endpoint: nameSchema,
    deployment: nameSchema.optional().describe('only this one of the endpoint'),
    fleet: nameSchema.optional(),
    where: queryText.optional().describe('devices that a query finds'),
    device: names.optional().describe('several times for several'),
    sinceSeconds: z.coerce.number().int().min(60).max(maxSinceSeconds).default(3600),
  })
  .refine(
    ({ fleet, where, device }) => [fleet, where, device].filter((one) => one !== undefined).length === 1,
    'give one of fleet, where and device: which devices it is compared with',
  );

const figure = z.number().nullable();
const quantiles = z.object({ p50: figure, p90: figure, p99: figure, max: figure, mean: figure });
const count = z.int();

const sideBody = z.object({
  kind: z.enum(['endpoint', 'devices']),
  name: z.string().describe('fraud, fraud/blue, fleet line-3, cam-1, or a query'),
  asked: count.describe('deployments or devices that there are'),
  told: count.describe('those that told something of it'),
  images: z
    .array(z.object({ digest: digestSchema, module: nameSchema, version: z.int(), requests: count }))
    .describe('what answered'),
  requests: count,
  errors: z.record(z.string(), count),
  errorShare: figure,
  latencyMs: quantiles.describe('of answered requests: as the front sees them, and as a device answers them'),
  computeMs: quantiles.optional().describe('of runs of the model alone'),
  copies: z
    .object({
      ...{ compared: count, agreed: count, uncompared: count },
      errors: count.describe('requests that it alone failed on'),
      dropped: count,
      agreement: figure,
      largestDifference: z.number().optional(),
    })
    .optional()
    .describe('of requests to other versions that it got copies of'),
});
export type ComparedSideBody = z.infer<typeof sideBody>;

const driftBody = z.object({
  tensor: z.string().describe('input.<tensor> or output.<tensor>'),
  psi: figure.describe('population stability index between both sides; null where it cannot be told'),
  elements: z.object({ endpoint: count, devices: count }),
  verdict: z.enum(['alike', 'some', 'large', 'unclear', 'one-sided', 'too-few']),
  text: z.string(),
});
export type DriftBody = z.infer<typeof driftBody>;

export const compareBody = z.object({
  image: z.string().describe('as it was asked for'),
  digests: z.array(digestSchema).describe('of it: the image, variants of an index, or images that carry the model'),
  from: instantSchema,
  to: instantSchema,
  sides: z.tuple([sideBody, sideBody]).describe('the endpoint, then the devices'),
  release: z
    .enum(['same', 'different', 'unknown'])
    .describe('same: one and the same digest answered everywhere; unknown: one side has answered nothing'),
  drift: z.array(driftBody),
  notes: z.array(z.string()).describe('what there is too little of to tell'),
});
export type CompareBody = z.infer<typeof compareBody>;
