/** What shadows say of a release before any device switches: agreement, errors, latency, of each module. Pure. */
import { decodeSketch, emptySketch, histogramOf, quantile } from '#shared/protocol/sketch.js';
import type { GateVerdict } from '../gates/gate-model.js';
import { judgeShare } from '../gates/judge-share.js';
import type { ShadowEvidence } from './shadow-model.js';
import type { RolloutShadow } from './shadow-policy.js';

/** What `resume` accepts. */
export const shadowGate = 'shadow';
/** Names under which verdicts are shown and kept: no gates of a policy have them. */
export const shadowGates = { agreement: shadowGate, errors: 'shadow-errors', latency: 'shadow-latency' } as const;

/** What is asked of copies, whoever made them. */
export type ShadowBounds = Pick<
  RolloutShadow,
  'minCompared' | 'minAgreement' | 'maxErrorPercent' | 'maxLatencyRatio' | 'confidence'
>;

export function judgeShadows(policy: ShadowBounds, evidence: readonly ShadowEvidence[]): GateVerdict[] {
  return [...evidence].sort((a, b) => (a.module < b.module ? -1 : 1)).flatMap((one) => judgeModule(policy, one));
}

function judgeModule(policy: ShadowBounds, { module, sum, told, devices }: ShadowEvidence): GateVerdict[] {
  const { minCompared: minSamples, confidence } = policy;
  const head = (of: keyof typeof shadowGates, measure: string) => ({
    ...{ gate: shadowGates[of], kind: shadowGate, measure, module, told, devices },
  });
  const { compared = 0, agreed = 0, uncompared = 0, shadowErrors = 0 } = sum ?? {};
  const rule = { minSamples, confidence };
  const disagreed = { hits: Math.max(0, compared - agreed), samples: compared };
  const failed = { hits: shadowErrors, samples: compared + uncompared + shadowErrors };
  const verdicts: GateVerdict[] = [
    {
      ...head('agreement', 'disagreement'),
      ...{ unit: 'share', value: shareOf(disagreed), reference: null, bound: (100 - policy.minAgreement) / 100 },
      ...judgeShare(disagreed, { ...rule, bound: (100 - policy.minAgreement) / 100, noun: 'compared answers' }),
    },
    {
      ...head('errors', 'errors of the shadow'),
      ...{ unit: 'share', value: shareOf(failed), reference: null, bound: policy.maxErrorPercent / 100 },
      ...judgeShare(failed, { ...rule, bound: policy.maxErrorPercent / 100, noun: 'copies' }),
    },
  ];
  if (policy.maxLatencyRatio !== undefined)
    verdicts.push({ ...head('latency', 'p99 latency'), ...latencyOf(policy, sum) });
  return verdicts.map((one) => heldToSamples(one, minSamples));
}

const judged = 0.99;

/** The shadow's percentile is within the bound exactly when no more than the rest of its answers is slower. */
function latencyOf(
  { maxLatencyRatio = 1, minCompared, confidence }: ShadowBounds,
  sum: ShadowEvidence['sum'],
): Pick<GateVerdict, 'unit' | 'value' | 'reference' | 'bound' | 'verdict' | 'samples' | 'lack'> {
  const live = (sum && decodeSketch(sum.liveLatencyMs)) ?? emptySketch();
  const shadow = (sum && decodeSketch(sum.shadowLatencyMs)) ?? emptySketch();
  const reference = quantile(live, judged);
  const bound = reference === null ? null : reference * maxLatencyRatio;
  const [, slower = 0] = histogramOf(shadow, [bound ?? Number.MAX_VALUE]);
  const share = { hits: slower, samples: shadow.count };
  const rule = { bound: 1 - judged, minSamples: minCompared, confidence, noun: 'answers' };
  return { unit: 'ms', value: quantile(shadow, judged), reference, bound, ...judgeShare(share, rule) };
}

function heldToSamples(verdict: GateVerdict, minSamples: number): GateVerdict {
  if (verdict.verdict !== 'pass' || verdict.samples >= minSamples) return verdict;
  const text = `${String(verdict.samples)} of ${String(minSamples)} samples`;
  return { ...verdict, verdict: 'undecided', lack: { what: 'samples', text, needed: minSamples } };
}

function shareOf({ hits, samples }: { readonly hits: number; readonly samples: number }): number | null {
  return samples === 0 ? null : hits / samples;
}
