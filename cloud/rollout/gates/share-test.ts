/**
 * Whether a share is above or below a bound, for one who looks again and again. Pure.
 *
 * A test for one look is wrong too often when it is asked every few seconds until it answers. This one compares how
 * likely what was seen is under "it is the bound" and under a mixture of all shares (beta, centred on the bound), and
 * answers once the second is `1 / (1 - confidence)` times as likely. By Ville's inequality a share that is not above the
 * bound is *ever* called above with a probability of at most `1 - confidence`, however often one looks; and likewise below.
 */
import { logBeta } from './log-gamma.js';

export interface Share {
  readonly hits: number;
  /** At least `hits`. */
  readonly samples: number;
}

export type ShareAnswer = 'above' | 'below' | 'unknown';

/**
 * @param bound in [0, 1]; of 0 a single hit is above, and none is below: then only the number of samples speaks
 * @param confidence in [0, 1)
 */
export function testShare({ hits, samples }: Share, bound: number, confidence: number): ShareAnswer {
  if (samples === 0) return 'unknown';
  if (bound <= 0) return hits > 0 ? 'above' : 'below';
  if (bound >= 1) return 'below';
  const share = hits / samples;
  if (logEvidence({ hits, samples }, bound) < -Math.log(1 - confidence)) return 'unknown';
  return share > bound ? 'above' : 'below';
}

/** How many times as likely a mixture of all shares makes what was seen, as a logarithm. */
export function logEvidence({ hits, samples }: Share, bound: number): number {
  const weight = 1 / Math.min(bound, 1 - bound);
  const [a, b] = [bound * weight, (1 - bound) * weight];
  const mixed = logBeta(a + hits, b + samples - hits) - logBeta(a, b);
  return mixed - hits * Math.log(bound) - (samples - hits) * Math.log1p(-bound);
}

const most = 1e9;

/** How many samples would give an answer if the share stayed as it is; undefined: more than anybody will see. */
export function samplesNeeded({ hits, samples }: Share, bound: number, confidence: number): number | undefined {
  const share = samples === 0 ? 0 : hits / samples;
  const answers = (count: number): boolean =>
    testShare({ hits: share * count, samples: count }, bound, confidence) !== 'unknown';
  let [few, many] = [Math.max(1, samples), Math.max(2, samples * 2)];
  while (!answers(many)) {
    if (many > most) return undefined;
    few = many;
    many *= 2;
  }
  while (many - few > 1) {
    const middle = Math.floor((few + many) / 2);
    if (answers(middle)) many = middle;
    else few = middle;
  }
  return many;
}
