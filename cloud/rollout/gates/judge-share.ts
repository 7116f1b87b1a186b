/** The judgement over a share that may be so large at most. Pure. */
import type { Judgement } from './gate-model.js';
import { samplesNeeded, type Share, testShare } from './share-test.js';

export interface ShareRule {
  /** In [0, 1]. */
  readonly bound: number;
  readonly minSamples: number;
  readonly confidence: number;
  /** What is counted, for texts: `answers`, `elements`. */
  readonly noun: string;
}

export function judgeShare(share: Share, rule: ShareRule): Pick<Judgement, 'verdict' | 'samples' | 'lack'> {
  const { hits, samples } = share;
  const { bound, minSamples, confidence, noun } = rule;
  // One is too many, and more samples will not take it away.
  if (bound <= 0 && hits > 0) return { verdict: 'fail', samples };
  if (samples < minSamples) return { verdict: 'undecided', samples, lack: tooFew(samples, minSamples, noun) };
  const answer = testShare(share, bound, confidence);
  if (answer !== 'unknown') return { verdict: answer === 'above' ? 'fail' : 'pass', samples };
  const needed = samplesNeeded(share, bound, confidence);
  const text =
    needed === undefined
      ? `${String(samples)} ${noun}: too near the bound to tell`
      : `${String(samples)} of some ${String(needed)} ${noun} that it takes to be sure`;
  return { verdict: 'undecided', samples, lack: { what: 'clarity', text, needed } };
}

export function tooFew(samples: number, needed: number, noun: string): NonNullable<Judgement['lack']> {
  return { what: 'samples', text: `${String(samples)} of ${String(needed)} ${noun}`, needed };
}

export function noReference(samples: number, needed: number, noun: string): NonNullable<Judgement['lack']> {
  return { what: 'reference', text: `${String(samples)} of ${String(needed)} ${noun} to compare with`, needed };
}
