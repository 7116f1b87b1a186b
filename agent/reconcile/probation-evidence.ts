/** What speaks for and against the versions on probation, as the policy module judges it. Pure. */
import { type Probation, probationSchema } from '#shared/protocol/desired.js';
import type { Counted, ProbationEvidence } from '#shared/supervisor/probation.js';
import { entry, type ProbationObservation } from '#agent/reconcile/observed.js';

const usual: Probation = probationSchema.parse({});
const nothing: Counted = { requests: 0, errors: 0, p99Ms: null };

/** @param policyOf what is desired of a module now; undefined: the usual */
export function probationEvidence(
  { since, changed, watched, fallback, sample, crash }: ProbationObservation,
  policyOf: (module: string) => Probation | undefined,
): ProbationEvidence {
  const comparable = Object.keys(changed).every((name) => entry(fallback, name) !== undefined);
  return {
    watchedMs: sample === undefined ? 0 : sample.at - since,
    modules: watched.map((module) => ({
      module,
      policy: policyOf(module) ?? usual,
      ...(entry(sample?.modules ?? {}, module) ?? { candidate: nothing, incumbent: nothing }),
    })),
    memory: comparable ? sample?.memory : undefined,
    crash,
  };
}
