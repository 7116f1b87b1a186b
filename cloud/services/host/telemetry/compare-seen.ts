/** Two answers that the front saw, as what scoring hosts compare. Pure. */
import type { Comparison } from '#shared/protocol/comparison.js';
import { type OutputValues, outputValues } from '#shared/scoring/traffic/answer-values.js';
import { compareAnswers } from '#shared/scoring/traffic/compare-answers.js';
import type { ShadowOutcome } from '#shared/scoring/traffic/shadow-counts.js';
import type { AnswerSeen } from '../../front/mirror.js';
import { isFine } from '../../front/replica-call.js';

/** What there is to learn of a request and its copy, by what both ended with. */
export type PairOutcome = 'compare' | 'live-failed' | 'mirrored-failed' | 'no-room' | 'nothing';

export function outcomeOf(live: number, mirrored: number): PairOutcome {
  if (!isFine(live)) return isOwnFault(live) ? 'live-failed' : 'nothing';
  if (isFine(mirrored)) return 'compare';
  return mirrored === 429 || mirrored === 503 ? 'no-room' : 'mirrored-failed';
}

/** What was too large to be kept, or cannot be read, is not compared. */
export function compareSeen(live: AnswerSeen, mirrored: AnswerSeen, rule: Comparison): ShadowOutcome {
  try {
    const liveValues = valuesOf(live);
    const otherValues = liveValues && valuesOf(mirrored);
    if (!liveValues || !otherValues) return { kind: 'uncompared' };
    return compareAnswers(liveValues.map(likeIts(otherValues)), otherValues.map(likeIts(liveValues)), rule);
  } catch {
    // A script may answer JSON deeper than can be walked.
    return { kind: 'uncompared' };
  }
}

/** Failed by itself: not what it refused, nor what it had no room for. */
function isOwnFault(status: number): boolean {
  // The front's own of a replica that was lost, or late.
  return status === 424 || status === 408 || (status >= 500 && status !== 503);
}

const unknownSignature = { inputs: [], outputs: [] };

function valuesOf({ body, jsonLength }: AnswerSeen): OutputValues[] | undefined {
  if (!body) return undefined;
  const bytes = new Uint8Array(body.buffer as ArrayBuffer, body.byteOffset, body.length);
  if (jsonLength === undefined) return outputValues({ body: bytes }, unknownSignature);
  if (!/^\d{1,15}$/.test(jsonLength)) return undefined;
  return outputValues({ body: bytes, jsonLength: Number(jsonLength) }, unknownSignature);
}

/** The front knows no signatures: where one side has fractions, whole numbers of the other are floats as well. */
function likeIts(others: readonly OutputValues[]): (output: OutputValues) => OutputValues {
  return (output) => {
    const other = others.find(({ name }) => name === output.name);
    if (output.floating || other?.floating !== true) return output;
    const areNumbers = Array.from(output.values).every((value) => typeof value === 'number');
    return areNumbers ? { ...output, floating: true } : output;
  };
}
