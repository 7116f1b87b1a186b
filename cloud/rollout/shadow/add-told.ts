/** Adds up what was told of shadows, question by question. Pure. */
import { joinShadows } from '#shared/protocol/merge-metrics.js';
import type { ShadowAnswer } from '#cloud/telemetry/telemetry-port.js';

export const nothingTold: ShadowAnswer = { sum: undefined, told: 0 };

/** What cannot be said together with what came before, as it is of another shadow, adds nothing to the sum. */
export function addTold({ sum, told }: ShadowAnswer, answer: ShadowAnswer): ShadowAnswer {
  const both = sum && answer.sum ? (joinShadows(sum, answer.sum) ?? sum) : (sum ?? answer.sum);
  return { sum: both, told: told + answer.told };
}
