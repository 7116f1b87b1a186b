/** Steps of a rollout in words, for its history. Pure. */
import type { Transition } from './rollout-model.js';

export function describeTransition(transition: Transition): { readonly kind: string; readonly text: string } {
  switch (transition.kind) {
    case 'advance':
      return { kind: 'wave', text: `wave ${String(transition.wave + 1)} begins` };
    case 'shadowed':
      return { kind: 'shadowed', text: `devices switch from now on: ${transition.text}` };
    case 'pause':
      return { kind: 'paused', text: transition.reason.text };
    case 'end':
      return { kind: 'ending', text: `${transition.reason.text}; ends as ${transition.ending.as}` };
    case 'finish':
      return { kind: transition.state, text: `the rollout is over: ${transition.state}` };
  }
}
