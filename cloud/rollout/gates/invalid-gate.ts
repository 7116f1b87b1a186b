import * as z from 'zod';
import { nameSchema } from '#shared/protocol/primitives.js';
import { bucketsOf, type Sketch } from '#shared/protocol/sketch.js';
import { elementsOf, type NumberSummary } from '#shared/protocol/summary.js';
import { confidence, percentField, readTensor, tensorField } from './gate-fields.js';
import { gateKind } from './gate-kind.js';
import { judgeShare } from './judge-share.js';
import { noTensor, ofKind } from './tensor-lack.js';

/** NaN, infinities, and numbers that are out of range. */
export const invalidGate = gateKind({
  fields: {
    ...confidence,
    module: nameSchema,
    tensor: tensorField,
    /** Of elements that were looked at. */
    maxPercent: percentField.default(0),
    /** What a number may be; without them any. Where some are beyond, how many is known within 6 % of the limit. */
    min: z.number().optional(),
    max: z.number().optional(),
  },
  measure: ({ tensor }) => `invalid ${tensor}`,
  reference: () => undefined,
  problem: ({ min, max }) =>
    min !== undefined && max !== undefined && min > max ? 'min is greater than max' : undefined,
  judge: ({ tensor, maxPercent, min, max, minSamples, confidence: sure }, { module, candidate }) => {
    const { side, name } = readTensor(tensor);
    const summary = candidate[side].get(name);
    const bound = maxPercent / 100;
    const nothing = { unit: 'share' as const, value: null, reference: null, bound, samples: 0 };
    if (summary === undefined) return { ...nothing, verdict: 'undecided', lack: noTensor(module, tensor, candidate) };
    if (summary.kind !== 'numbers') {
      return { ...nothing, verdict: 'undecided', lack: ofKind(module, tensor, 'categories, not numbers') };
    }
    const samples = elementsOf(summary);
    const hits = summary.nan + summary.infinite + beyond(summary, min, max);
    const value = samples === 0 ? null : hits / samples;
    const judged = judgeShare({ hits, samples }, { bound, minSamples, confidence: sure, noun: 'elements' });
    return { ...nothing, value, ...judged };
  },
});

function beyond(summary: NumberSummary, min: number | undefined, max: number | undefined): number {
  let count = 0;
  // Least and greatest are exact: none is beyond where they are not, and one at least where they are.
  if (max !== undefined && summary.max !== null && summary.max > max) {
    count += Math.max(1, above(summary, max));
  }
  if (min !== undefined && summary.min !== null && summary.min < min) {
    count += Math.max(1, above(mirrored(summary), -min));
  }
  return count;
}

function above({ positive, negative }: Pick<NumberSummary, 'positive' | 'negative'>, limit: number): number {
  return countWhere(positive, (size) => size > limit) + countWhere(negative, (size) => -size > limit);
}

function mirrored({ positive, negative }: NumberSummary): Pick<NumberSummary, 'positive' | 'negative'> {
  return { positive: negative, negative: positive };
}

function countWhere(sketch: Sketch, is: (size: number) => boolean): number {
  return bucketsOf(sketch).reduce((sum, { value, count }) => (is(value) ? sum + count : sum), 0);
}
