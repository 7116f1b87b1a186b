import * as z from 'zod';
import type { ModuleNumbers } from '#cloud/telemetry/cohort-numbers.js';
import { anyModule, compared, confidence, percentField } from './gate-fields.js';
import { gateKind } from './gate-kind.js';
import { judgeShare, noReference } from './judge-share.js';
import type { Share } from './share-test.js';

/** How many of all requests fail. */
export const errorsGate = gateKind({
  fields: {
    ...{ ...anyModule, ...confidence, ...compared },
    /** Of requests. */
    maxPercent: percentField.optional(),
    /** Points of a hundred that it may be above the reference. */
    maxIncrease: percentField.optional(),
    /** Only these; without it all. */
    codes: z.array(z.string().min(1).max(64)).min(1).max(32).optional(),
  },
  measure: ({ codes }) => (codes === undefined ? 'errors' : `errors ${codes.join(', ')}`),
  reference: ({ maxIncrease, reference }) => (maxIncrease === undefined ? undefined : reference),
  problem: ({ maxPercent, maxIncrease }) =>
    maxPercent === undefined && maxIncrease === undefined ? 'give maxPercent, maxIncrease or both' : undefined,
  judge: ({ maxPercent, maxIncrease, codes, minSamples, confidence: sure }, evidence) => {
    const share = failed(evidence.candidate, codes);
    const before = maxIncrease === undefined ? undefined : failed(evidence.reference, codes);
    const referenceSamples = before?.samples;
    const reference = before === undefined ? null : shareOf(before);
    const seen = { unit: 'share' as const, value: shareOf(share), reference, referenceSamples };
    const noun = 'requests';
    if (before !== undefined && before.samples < minSamples) {
      const lack = noReference(before.samples, minSamples, noun);
      return { ...seen, verdict: 'undecided', bound: null, samples: share.samples, lack };
    }
    const increase = maxIncrease === undefined ? 1 : (reference ?? 0) + maxIncrease / 100;
    const bound = Math.min(1, (maxPercent ?? 100) / 100, increase);
    return { ...seen, bound, ...judgeShare(share, { bound, minSamples, confidence: sure, noun }) };
  },
});

function failed({ requests, errors }: ModuleNumbers, codes: readonly string[] | undefined): Share {
  let hits = 0;
  for (const [code, count] of errors) if (codes === undefined || codes.includes(code)) hits += count;
  // A device tells both; one that lies must not make a share above 1.
  return { hits: Math.min(hits, requests), samples: requests };
}

function shareOf({ hits, samples }: Share): number | null {
  return samples === 0 ? null : hits / samples;
}
