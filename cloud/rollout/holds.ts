/**
 * What holds a wave that is over but for it: a gate that cannot decide, or an approval. Told once a wave and cause, however
 * often the cause comes and goes: what was told stands with the rollout itself, in the transaction that tells it. Pure.
 */
import { type GateContext, openGates } from './gates/gate-step.js';
import type { RolloutPolicy } from './policy.js';
import type { Hold, Rollout, RolloutDevice } from './rollout-model.js';

/** No gate's: those begin with `gate`. */
const approval = 'approval';

export const gateCause = (gate: string): string => `gate ${gate}`;

interface HeldBy extends GateContext {
  readonly rollout: Rollout;
  readonly policy: RolloutPolicy;
}

/**
 * @param more devices wait for a wave to come; without any there is nothing to approve
 * @returns none where the wave may go on
 */
export function holdsOf(devices: readonly RolloutDevice[], more: boolean, input: HeldBy): readonly Hold[] {
  const { rollout, policy } = input;
  const open = openGates(devices, input);
  if (open.length > 0) return open.map(({ gate, text }) => ({ cause: gateCause(gate), text }));
  const asks = policy.waves[rollout.wave]?.approval ?? false;
  if (!asks || !more || rollout.approvedBefore > rollout.wave) return [];
  return [{ cause: approval, text: `waits for approval: flotilla rollout approve ${rollout.id}` }];
}

/** Of what holds the present wave, what was not told of it. */
export function untold(holds: readonly Hold[], rollout: Rollout): readonly Hold[] {
  const told = toldOf(rollout);
  return holds.filter(({ cause }) => !told.includes(cause));
}

/** After these were told. */
export function withHolds(rollout: Rollout, holds: readonly Hold[]): Rollout {
  if (holds.length === 0) return rollout;
  const causes = [...new Set([...toldOf(rollout), ...holds.map(({ cause }) => cause)])].sort();
  return { ...rollout, toldHolds: { wave: rollout.wave, causes } };
}

/** What was told of waves before is of no use: none comes again. */
function toldOf({ wave, toldHolds }: Rollout): readonly string[] {
  return toldHolds?.wave === wave ? toldHolds.causes : [];
}
