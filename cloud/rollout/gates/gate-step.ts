/** What verdicts mean for a wave: whether it may go on, and what stops it. Pure. */
import type { RolloutPolicy } from '../policy.js';
import type { Rollout, RolloutDevice, Transition } from '../rollout-model.js';
import { stopped } from '../thresholds.js';
import type { GateVerdict } from './gate-model.js';
import { describeVerdict } from './gate-words.js';

export interface GateContext {
  readonly rollout: Pick<Rollout, 'wave' | 'acceptedGates'>;
  readonly policy: Pick<RolloutPolicy, 'gates' | 'onFailure'>;
  /** Of the wave whose turn it is; absent: nobody looked. */
  readonly gates?: readonly GateVerdict[] | undefined;
}

export const hasGates = ({ gates = {} }: Pick<RolloutPolicy, 'gates'>): boolean => Object.keys(gates).length > 0;

/** A gate says that the release is worse: with more samples or later it would say no better. */
export function failedGate({ rollout, policy, gates = [] }: GateContext): Transition | undefined {
  if (!hasGates(policy)) return undefined;
  const failed = verdictsInOrder(gates).filter(({ verdict, gate }) => verdict === 'fail' && !isAccepted(gate, rollout));
  const [first] = failed;
  if (first === undefined) return undefined;
  const others = failed.length > 1 ? `; and ${String(failed.length - 1)} more` : '';
  const text = `${describeVerdict(first)} in wave ${String(rollout.wave + 1)}${others}`;
  return stopped(policy, { code: 'gate', text, gates: [...new Set(failed.map(({ gate }) => gate))] });
}

export interface OpenGate {
  readonly gate: string;
  /** What it lacks, in words, of the first module that lacks something. */
  readonly text: string;
}

/** What the wave waits for once all else is done, by name: none when every gate of the policy has passed. */
export function openGates(devices: readonly RolloutDevice[], context: GateContext): readonly OpenGate[] {
  const { rollout, policy, gates = [] } = context;
  // Of a wave without a device that runs it nothing can be told, and nothing is risked by it.
  if (!devices.some(({ wave, standing }) => wave === rollout.wave && standing === 'succeeded')) return [];
  const said = verdictsInOrder(gates);
  return Object.keys(policy.gates ?? {})
    .sort()
    .filter((name) => !isAccepted(name, rollout))
    .flatMap((name): OpenGate[] => {
      const own = said.filter(({ gate }) => gate === name);
      const open = own.find(({ verdict }) => verdict !== 'pass');
      if (open !== undefined) return [{ gate: name, text: describeVerdict(open) }];
      return own.length > 0 ? [] : [{ gate: name, text: `gate ${name}: nothing was read yet` }];
    });
}

/** By gate, then by module. */
export function verdictsInOrder(gates: readonly GateVerdict[]): GateVerdict[] {
  const keyOf = ({ gate, module }: GateVerdict): string => `${gate}/${module}`;
  return [...gates].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

/** Somebody resumed the rollout after it had failed in this wave. */
export function isAccepted(gate: string, { wave, acceptedGates }: GateContext['rollout']): boolean {
  return acceptedGates?.wave === wave && acceptedGates.gates.includes(gate);
}
