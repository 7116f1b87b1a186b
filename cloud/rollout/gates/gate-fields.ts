/** Fields that gates of several kinds have. */
import * as z from 'zod';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';

const longest = 30 * 86_400;

/** What the candidate is compared with; always versions that the wave's devices had before. */
export const referenceSchema = z.union(
  [
    /** The same devices, an hour before they were asked. */
    z.literal('before'),
    z.strictObject({ beforeSeconds: z.int().min(60).max(longest) }),
    /** Devices of later waves, since the wave began; in the last one all, since the rollout began. */
    z.literal('peers'),
    /** All devices of the rollout, by the control plane's clock, in whole minutes. */
    z.strictObject({ from: instantSchema, to: instantSchema }),
  ],
  { error: 'is no reference; give before, {beforeSeconds: 7200}, peers, or {from: <instant>, to: <instant>}' },
);
export type Reference = z.output<typeof referenceSchema>;

export const common = {
  /** Answers, elements or readings of the candidate below which it neither passes nor fails; of a reference too. */
  minSamples: z.int().min(1).max(1_000_000_000).default(200),
  /** After a device was asked, of which nothing counts: a version that has just started is slow and says little. */
  skipSeconds: z.int().min(0).max(86_400).default(0),
};
/** Of one module; without it each module that the release changes is judged by itself. */
export const anyModule = { module: nameSchema.optional() };
/** How sure it must be, either way. */
export const confidence = { confidence: z.number().min(0.5).max(0.9999).default(0.95) };
export const compared = { reference: referenceSchema.default('before') };

export const percentField = z.number().min(0).max(100);
export const ratioField = z.number().min(1).max(1000);

/** `input.<tensor>` or `output.<tensor>`, as the module's manifest asks for it. */
export const tensorField = z
  .string()
  .max(512)
  .regex(/^(input|output)\..+$/u, 'write input.<tensor> or output.<tensor>');

export interface TensorName {
  readonly side: 'inputs' | 'outputs';
  readonly name: string;
}

export function readTensor(text: string): TensorName {
  const dot = text.indexOf('.');
  return { side: text.startsWith('input.') ? 'inputs' : 'outputs', name: text.slice(dot + 1) };
}
