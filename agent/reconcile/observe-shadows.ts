/** How shadows change: the part of the reducer about versions that get copies and answer nobody. */
import type { Fact } from '#agent/reconcile/fact.js';
import { entry, type Observed, type ShadowObservation, type VersionKey } from '#agent/reconcile/observed.js';
import { exited, exitsOf } from '#agent/reconcile/observe-serving.js';
import { type Moment, without } from '#agent/reconcile/observe-tracks.js';

export type ShadowFact = Extract<Fact, { readonly kind: `shadow${string}` }>;

export function observeShadow(observed: Observed, fact: ShadowFact, moment: Moment): Observed {
  switch (fact.kind) {
    case 'shadowStarting': {
      const before = entry(observed.shadows, fact.module);
      const again = before?.key === fact.key ? before : undefined;
      const exits = again === undefined ? [] : exitsOf(again.process);
      const { mirrored: _ended, ...kept } = again ?? { key: fact.key };
      return put(observed, fact.module, { ...kept, process: { state: 'starting', since: moment.at, exits } });
    }
    case 'shadowRunning':
      return change(observed, fact, (before) => ({
        ...before,
        provider: fact.provider,
        process: { state: 'running', exits: exitsOf(before.process) },
        numbers: { ...before.numbers, ...fact.numbers },
      }));
    case 'shadowMirrored':
      return change(observed, fact, (before) => ({ ...before, mirrored: fact.rule }));
    case 'shadowExited':
      return change(observed, fact, ({ mirrored: _ended, ...before }) => ({
        ...before,
        process: exited(before.process, fact, moment),
      }));
    case 'shadowCounted':
      return change(observed, fact, (before) => ({ ...before, numbers: { ...before.numbers, ...fact.numbers } }));
    case 'shadowGone':
      return { ...observed, shadows: without(observed.shadows, fact.module) };
  }
}

/** A fact about another version than the one that is there changes nothing. */
function change(
  observed: Observed,
  { module, key }: { readonly module: string; readonly key: VersionKey },
  next: (before: ShadowObservation) => ShadowObservation,
): Observed {
  const before = entry(observed.shadows, module);
  return before?.key === key ? put(observed, module, next(before)) : observed;
}

function put(observed: Observed, module: string, shadow: ShadowObservation): Observed {
  return { ...observed, shadows: { ...observed.shadows, [module]: shadow } };
}
