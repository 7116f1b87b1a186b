/** The part of `module.yaml` that says which inputs and outputs are summarised, and of how many requests. */
import * as z from 'zod';
import { nameSchema } from '#shared/protocol/primitives.js';

/**
 * `numbers`: a sketch. `categories`: each value is counted. `argmax`: the place of the greatest value along the
 * last dimension is, which is the class that a classifier chose.
 */
export const summaryForms = ['numbers', 'categories', 'argmax'] as const;

export const tensorWatchSchema = z.strictObject({
  /** As the model calls the tensor. */
  name: z.string().min(1).max(256),
  as: z.enum(summaryForms).default('numbers'),
  /** Whose tensor it is; needed where the module has several models. */
  model: nameSchema.optional(),
  /** A value that stands for none. */
  missing: z.number().min(-1_000_000_000).max(1_000_000_000).optional(),
});
export type TensorWatchOptions = z.infer<typeof tensorWatchSchema>;

const maxTensors = 8;

export const telemetrySchema = z.strictObject({
  /** Of each worker thread at most; a module that is asked less often is summarised whole. */
  samplesPerSecond: z.number().min(0.01).max(1000).default(10),
  inputs: z.array(tensorWatchSchema).max(maxTensors).default([]),
  outputs: z.array(tensorWatchSchema).max(maxTensors).default([]),
});
export type TelemetryOptions = z.infer<typeof telemetrySchema>;

/** How a summary names it. */
export function watchedName({ name, model }: TensorWatchOptions): string {
  return model === undefined ? name : `${model}/${name}`;
}
