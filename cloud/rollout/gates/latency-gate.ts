import * as z from 'zod';
import { histogramOf, quantile } from '#shared/protocol/sketch.js';
import { anyModule, compared, confidence, ratioField } from './gate-fields.js';
import { gateKind } from './gate-kind.js';
import { judgeShare, noReference } from './judge-share.js';

/**
 * How long answers take. The quantile is at most the bound exactly when no more than the rest of answers is slower, so
 * what is tested is the share of answers that are.
 */
export const latencyGate = gateKind({
  fields: {
    ...{ ...anyModule, ...confidence, ...compared },
    quantile: z.number().min(0.5).max(0.999).default(0.99),
    /** Milliseconds. */
    maxMs: z.number().positive().max(3_600_000).optional(),
    /** Times the quantile of the reference. */
    maxRatio: ratioField.optional(),
  },
  measure: ({ quantile: q }) => `p${String(Math.round(q * 1000) / 10)} latency`,
  reference: ({ maxRatio, reference }) => (maxRatio === undefined ? undefined : reference),
  problem: ({ maxMs, maxRatio }) =>
    maxMs === undefined && maxRatio === undefined ? 'give maxMs, maxRatio or both' : undefined,
  judge: ({ quantile: q, maxMs, maxRatio, minSamples, confidence: sure }, { candidate, reference }) => {
    const { latency } = candidate;
    const before = maxRatio === undefined ? null : quantile(reference.latency, q);
    const referenceSamples = maxRatio === undefined ? undefined : reference.latency.count;
    const seen = { unit: 'ms' as const, value: quantile(latency, q), reference: before, referenceSamples };
    const isKnown = referenceSamples === undefined || referenceSamples >= minSamples;
    const byRatio = maxRatio !== undefined && before !== null && isKnown ? before * maxRatio : undefined;
    const limits = [maxMs, byRatio].filter((limit) => limit !== undefined);
    const noun = 'answers';
    if (!isKnown) {
      const lack = noReference(referenceSamples, minSamples, noun);
      return { ...seen, verdict: 'undecided', bound: null, samples: latency.count, lack };
    }
    const bound = Math.min(...limits);
    const [, slower = 0] = histogramOf(latency, [bound]);
    const share = { hits: slower, samples: latency.count };
    return { ...seen, bound, ...judgeShare(share, { bound: 1 - q, minSamples, confidence: sure, noun }) };
  },
});
