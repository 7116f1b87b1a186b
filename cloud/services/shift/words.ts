/** Steps of a shift in words, for its history. Pure. */
import { describeWeights } from './overtaken.js';
import type { ShiftTransition } from './shift-model.js';

export function describeShiftStep(transition: ShiftTransition): { readonly kind: string; readonly text: string } {
  switch (transition.kind) {
    case 'advance':
      return { kind: 'step', text: `${transition.text}: ${describeWeights(transition.weights)}` };
    case 'pause':
      return { kind: 'paused', text: transition.reason.text };
    case 'return':
      return { kind: transition.as, text: `${transition.reason.text}; back to ${describeWeights(transition.weights)}` };
    case 'finish':
      return { kind: 'succeeded', text: 'it answers every request' };
    case 'overtaken':
      return { kind: 'overtaken', text: transition.reason.text };
  }
}
